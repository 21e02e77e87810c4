// SPDX-License-Identifier: Apache-2.0
// FastPath: all that the XDP programs of an lbd share with each other and with the workers: the
// index of services, the tables, the flow memory, heartbeats, counters, egress ports. Control's
// thread makes it and installs generations; workers write flows and heartbeats through memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/pin_dir.h"
#include "dataplane/counters.h"
#include "dataplane/io/acl_tries.h"
#include "dataplane/io/bpf_map.h"
#include "dataplane/io/service_sums.h"
#include "dataplane/table/kernel_index.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/table_object.h"

namespace lb {

struct FastPathSizes {
  std::uint32_t services_max = 1024;
  std::uint32_t rs_max = 4096;
  std::uint32_t queues = 1;
  std::uint32_t buckets4 = 2;  ///< of the flow memory of one queue
  std::uint32_t buckets6 = 2;
  std::uint32_t acl_max = LB_ACL_ENTRIES_MAX;  ///< entries of all access lists together
  lb_hash_kind hash = LB_HASH_MULTIPLY_MIX;    ///< of every table that is installed
  friend bool operator==(const FastPathSizes&, const FastPathSizes&) = default;
};

/// Where the maps are kept for the next lbd, and what may be taken over from the one before.
struct FastPathPins {
  const PinDir& dir;  ///< outlives the FastPath
  lb_hash_key flow_key{};
  std::vector<int> ifindexes{};  ///< of the ports, by PortIndex
  bool adopt = true;             ///< false: all maps are made anew
};

class FastPath final : public TableMemory {
 public:
  /// Takes the pins of maps away that were made anew and never settled.
  ~FastPath() override;
  FastPath(const FastPath&) = delete;
  FastPath& operator=(const FastPath&) = delete;
  /// Makes all maps. Errors: BpfError.
  [[nodiscard]] static Result<std::unique_ptr<FastPath>> create(const FastPathSizes& sizes);
  /// Takes the maps over that an lbd has left in pins.dir, when they are sound and all that
  /// lb_about says is the same; else says why not and makes new ones, which take their place there
  /// once they are in force (forget_others). No other process may write to them; XDP programs may
  /// run. Errors: BpfError, those of PinDir.
  [[nodiscard]] static Result<std::unique_ptr<FastPath>> create(const FastPathSizes& sizes,
                                                                const FastPathPins& pins);

  /// What the maps that were taken over forward: services as far as an index tells of them, with
  /// their tables. Empty when the maps are new.
  [[nodiscard]] const std::vector<Service>& found() const noexcept { return found_; }
  /// Whether the maps were there before.
  [[nodiscard]] bool adopted() const noexcept { return adopted_; }

  /// A table whose memory is an inner map; on the heap when it is over the largest class: then
  /// workers decide for its service.
  [[nodiscard]] Result<std::shared_ptr<TableObject>> make(std::uint32_t slots,
                                                          std::uint32_t members) override;

  /// For BpfSpec: the maps and the constants of a program.
  void give_to(BpfSpec& spec) const;

  /// Makes the XDP programs decide by `table` from now on: the tables first, then the index. Waits
  /// for a grace period of the kernel for each of the two that changed. On an error what was
  /// installed before is still whole, though some tables and entries of access lists may be the new
  /// ones. REQUIRES: the tables of its services come from make(), and the kind of its
  /// flow key is that of the sizes.
  [[nodiscard]] Status install(const ServiceTable& table);
  /// Forgets what `table`, which is installed and by which all programs decide, does not need: also
  /// the maps of an lbd before that were not taken over. Waits for a grace period for each class of
  /// tables in which keys are not named any more.
  void forget_others(const ServiceTable& table);

  /// Bytes of the flow memory of one queue.
  [[nodiscard]] std::span<std::byte> flows4(std::uint32_t queue) const noexcept;
  [[nodiscard]] std::span<std::byte> flows6(std::uint32_t queue) const noexcept;
  /// The tick of a worker's last step; 0: it does not run.
  [[nodiscard]] std::uint32_t* beat(std::uint32_t queue) const noexcept {
    return &beats_.values<lb_beat>()[queue].tick;
  }
  /// Packets for real servers behind `port` are redirected to this interface.
  [[nodiscard]] Status set_device(PortIndex port, int ifindex);

  /// Sets the counters of services and real servers to what the fast path counted so far.
  void read_counters(Counters& counters);
  /// Does a part of what install() has left for later. Every few hundred ms.
  void tidy() { acl_.tidy(kAclTidyAtOnce); }
  /// The access lists as they are in force.
  [[nodiscard]] const AclTries& acl() const noexcept { return acl_; }
  [[nodiscard]] const FastPathSizes& sizes() const noexcept { return sizes_; }

  /// An inner map that is in force.
  struct Object {
    const char* name;
    std::uint32_t id;
    std::size_t bytes;
  };
  /// The index and the tables, each once.
  [[nodiscard]] std::vector<Object> objects() const;
  /// Whether the map of this name outlives lbd.
  [[nodiscard]] bool keeps(std::string_view map) const;

 private:
  static constexpr std::size_t kAclTidyAtOnce = 20'000;
  struct Installed {
    std::shared_ptr<const TableObject> table;
    std::uint32_t ref = LB_TABLE_NONE;
    std::vector<RsId> members;
  };
  /// One of the maps that all ports share; its name is the program's and, with a prefix, the pin's.
  struct Shared {
    BpfMap* map;
    BpfMapSpec spec;
    std::optional<BpfMapSpec> inner;  ///< of an array of maps
  };
  FastPath(const FastPathSizes& sizes, const FastPathPins& pins);
  void list_maps();
  [[nodiscard]] BpfMapSpec index_spec() const;
  [[nodiscard]] Status make_maps();
  // fast_path_adopt.cc:
  [[nodiscard]] Status take_over();
  [[nodiscard]] Status find_services(std::set<std::uint32_t>& kept);
  using Tables = std::map<std::uint32_t, std::shared_ptr<const TableObject>>;  ///< by kernel id
  [[nodiscard]] Status find_table(IndexedService& indexed, Tables& found);
  [[nodiscard]] Result<BpfMap> object_in(const BpfMap& outer, std::uint32_t key,
                                         const BpfMapSpec& spec) const;
  void forget_the_rest(const std::set<std::uint32_t>& kept);
  void let_go();
  void forget_tables(const ServiceTable& table);
  void settle_pins();
  void unpin_unused(const std::vector<std::shared_ptr<const TableObject>>& tables) const;
  void name_members(const ServiceTable& table);
  void settle_members(std::span<const Service> services);
  void set_member(RsId id, std::uint32_t lb_rs_member::* which, std::uint32_t index);
  template <class T>
  [[nodiscard]] std::uint64_t sum_of(const BpfMap& map, std::uint32_t slots, std::uint32_t slot,
                                     __u64 T::* member) const;
  void take_sums();
  using Changes = std::vector<std::pair<std::uint32_t, Installed>>;  ///< by service slot
  [[nodiscard]] Status install_tables(const ServiceTable& table, std::vector<std::uint32_t>& refs,
                                      Changes& changes);
  void accept(Changes changes);
  void refuse(Changes changes);
  [[nodiscard]] bool is_in_force(const Installed& one) const;
  void empty_keys(std::span<const std::uint32_t> refs);
  [[nodiscard]] Status install_index(const ServiceTable& table,
                                     std::span<const std::uint32_t> refs);

  FastPathSizes sizes_;
  const PinDir& pins_;
  std::vector<Shared> shared_;
  bool adopted_ = false;
  bool fresh_ = false;               ///< pins of new maps are not in their place yet
  std::vector<std::string> theirs_;  ///< pins of objects that were there before
  std::vector<Service> found_;
  lb_about about_{};
  std::uint32_t cpus_ = 1;
  IndexRoom index_room_;
  BpfMap about_map_, devs_, beats_, service_counts_, rs_counts_, rs_members_, flows4_, flows6_;
  BpfMap index_, tables_[LB_TABLE_CLASSES];
  BpfMap empty_[LB_TABLE_CLASSES];  ///< tables under keys that no index names; made when needed
  AclTries acl_;
  ServiceSums sums_;
  std::vector<std::byte> index_bytes_;  ///< as installed, generation 0; empty: none yet
  std::uint32_t index_id_ = 0;          ///< the kernel's, of the map that holds them
  std::uint64_t generation_ = 0;        ///< of the index
  std::vector<Installed> installed_;    ///< by service slot
  std::set<std::uint32_t> stale_;       ///< refs that no index names any more
  std::vector<std::shared_ptr<const TableObject>> replaced_;  ///< nor a service
};

}  // namespace lb
