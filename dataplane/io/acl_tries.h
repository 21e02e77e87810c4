// SPDX-License-Identifier: Apache-2.0
// AclTries: the access lists as the XDP program looks them up: two LPM tries (bpf/lb_abi.h) that
// follow the lists of a ServiceTable. FastPath's, on control's thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "dataplane/base/ids.h"
#include "dataplane/io/bpf_map.h"
#include "dataplane/table/acl.h"
#include "dataplane/table/service_table.h"

namespace lb {

class AclTries {
 public:
  AclTries() = default;
  /// `entries_max`: of all lists together; they take memory only when they are there. Errors:
  /// BpfError.
  [[nodiscard]] static Result<AclTries> create(std::uint32_t entries_max);

  /// Enters what the lists of `table` have new or changed; before an index names its services. On
  /// an error (no memory) some is in: the next put() and take_away() begin from there.
  [[nodiscard]] Status put(const ServiceTable& table);
  /// Takes out what `table` does not have; after its index is in force. Lists that are not asked
  /// any more are left to tidy().
  void take_away(const ServiceTable& table);
  /// Takes out at most so many entries of lists that are not asked any more.
  void tidy(std::size_t most);

  /// What an entry of a service has decided for; zeros when it is not there.
  [[nodiscard]] AclCount count(ServiceId service, const AclEntry& entry) const;

  [[nodiscard]] int fd4() const noexcept { return trie4_.fd(); }
  [[nodiscard]] int fd6() const noexcept { return trie6_.fd(); }

 private:
  /// What a trie has of a prefix of the service, be it nothing, is what one of these says. One
  /// alone: all of it is in.
  using Lists = std::vector<Acl>;
  /// A list that is not asked: its service is gone, or has none.
  struct Leftover {
    ServiceId service = ServiceId::None;
    Acl list;
    std::size_t done = 0;  ///< entries that are out
  };
  [[nodiscard]] Status put(const Service& service, Lists& lists);
  void take_away(ServiceId service, const Acl& next, const Lists& lists);
  void remove(ServiceId service, std::span<const AclEntry> entries) const;
  void remove_leftovers_of(ServiceId service);
  [[nodiscard]] std::size_t leftover_entries() const;

  BpfMap trie4_, trie6_;
  std::uint32_t entries_max_ = 0;
  std::map<ServiceId, Lists> lists_;
  std::vector<Leftover> leftovers_;
};

}  // namespace lb
