// SPDX-License-Identifier: Apache-2.0
// FastPath: all that the XDP programs of an lbd share with each other and with the workers: the
// index of services, the tables, the flow memory, heartbeats, counters, egress ports. Control's
// thread makes it and installs generations; workers write flows and heartbeats through memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/ids.h"
#include "dataplane/counters.h"
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
  lb_hash_kind hash = LB_HASH_MULTIPLY_MIX;  ///< of every table that is installed
  friend bool operator==(const FastPathSizes&, const FastPathSizes&) = default;
};

class FastPath final : public TableMemory {
 public:
  /// Makes all maps. Errors: BpfError.
  [[nodiscard]] static Result<std::unique_ptr<FastPath>> create(const FastPathSizes& sizes);

  /// A table whose memory is an inner map; on the heap when it is over the largest class: then
  /// workers decide for its service.
  [[nodiscard]] Result<std::shared_ptr<TableObject>> make(std::uint32_t slots,
                                                          std::uint32_t members) override;

  /// For BpfSpec: the maps and the constants of a program.
  void give_to(BpfSpec& spec) const;

  /// Makes the XDP programs decide by `table` from now on: the tables first, then the index. Waits
  /// for a grace period of the kernel for each of the two that changed. On an error what was
  /// installed before is still whole, though some tables may be the new ones. REQUIRES: the tables
  /// of its services come from make(), and the kind of its flow key is that of the sizes.
  [[nodiscard]] Status install(const ServiceTable& table);

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
  [[nodiscard]] const FastPathSizes& sizes() const noexcept { return sizes_; }

 private:
  struct Installed {
    std::shared_ptr<const TableObject> table;
    std::uint32_t ref = LB_TABLE_NONE;
  };
  explicit FastPath(const FastPathSizes& sizes)
      : sizes_(sizes), sums_(sizes.services_max, sizes.rs_max) {}
  [[nodiscard]] Status make_maps();
  [[nodiscard]] Status make_objects();
  void name_members(const ServiceTable& table);
  template <class T>
  [[nodiscard]] std::uint64_t sum_of(const BpfMap& map, std::uint32_t slots, std::uint32_t slot,
                                     __u64 T::* member) const;
  void take_sums();
  [[nodiscard]] Status install_tables(const ServiceTable& table, std::vector<std::uint32_t>& refs);
  [[nodiscard]] Status install_index(const ServiceTable& table,
                                     std::span<const std::uint32_t> refs);
  void forget_tables(const ServiceTable& table);

  FastPathSizes sizes_;
  std::uint32_t cpus_ = 1;
  IndexRoom index_room_;
  BpfMap devs_, beats_, service_counts_, rs_counts_, rs_members_, flows4_, flows6_;
  BpfMap index_, tables_[LB_TABLE_CLASSES];
  ServiceSums sums_;
  std::vector<std::byte> index_bytes_;  ///< as installed, generation 0; empty: none yet
  std::uint64_t generation_ = 0;        ///< of the index
  std::vector<Installed> installed_;    ///< by service slot
  std::vector<std::uint32_t> stale_;    ///< refs that no index names any more
};

}  // namespace lb
