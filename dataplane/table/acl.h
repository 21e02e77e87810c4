// SPDX-License-Identifier: Apache-2.0
// Acl: the access list of a service: prefixes of clients, each denied, allowed or limited to a
// rate. The longest prefix that covers a client decides; where there is none, it is allowed. The
// XDP program decides by a copy in the kernel (io/acl_tries.h). A value whose copies share one
// unchangeable list; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/prefix.h"

namespace lb {

struct AclEntry {
  IpPrefix prefix;
  /// Packets a second that pass, all clients of the prefix together; LB_ACL_DENY, LB_ACL_ALLOW.
  std::uint32_t rate = LB_ACL_DENY;
  std::uint32_t burst = 0;  ///< of a limit: packets that may come at once; else 0
  [[nodiscard]] bool is_limit() const noexcept {
    return rate != LB_ACL_DENY && rate != LB_ACL_ALLOW;
  }
  friend bool operator==(const AclEntry&, const AclEntry&) = default;
};

/// What an entry has decided for since it is in force.
struct AclCount {
  std::uint64_t packets = 0, bytes = 0;
  std::uint64_t over = 0;  ///< of the packets: dropped by the limit
};

class Acl {
 public:
  Acl() = default;
  /// In any order; of several with one prefix the last one counts.
  [[nodiscard]] static Acl of(std::vector<AclEntry> entries);

  [[nodiscard]] bool empty() const noexcept { return list_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return list_ ? list_->entries.size() : 0; }
  /// By address, then by length.
  [[nodiscard]] std::span<const AclEntry> entries() const noexcept {
    return list_ ? std::span<const AclEntry>(list_->entries) : std::span<const AclEntry>();
  }
  /// The same for equal lists, also in another run; 0: empty.
  [[nodiscard]] std::uint64_t digest() const noexcept { return list_ ? list_->digest : 0; }
  /// The entry of exactly this prefix, or null.
  [[nodiscard]] const AclEntry* find(const IpPrefix& prefix) const noexcept;
  /// The entry that decides for a client, or null.
  [[nodiscard]] const AclEntry* match(const IpAddr& client) const noexcept;

  /// With these entries added, in place of those with the same prefix.
  [[nodiscard]] Acl with(std::vector<AclEntry> entries) const;
  /// Without the entries of these prefixes; unknown ones are ignored.
  [[nodiscard]] Acl without(std::vector<IpPrefix> prefixes) const;

  /// One list, not just an equal one.
  [[nodiscard]] bool is_same(const Acl& other) const noexcept { return list_ == other.list_; }
  friend bool operator==(const Acl& a, const Acl& b) {
    if (a.list_ == b.list_) return true;
    return a.digest() == b.digest() && a.size() == b.size() && a.list_->entries == b.list_->entries;
  }

 private:
  struct List {
    std::vector<AclEntry> entries;
    std::uint64_t digest = 0;
  };
  /// REQUIRES: sorted, no prefix twice.
  [[nodiscard]] static Acl over(std::vector<AclEntry> entries);
  std::shared_ptr<const List> list_;  // null: empty
};

/// What turns one list into another. Done in this order (all of `put`, then all of `gone`) each
/// client's verdict changes once, from the one before to the one after: longer prefixes are put
/// first and go last.
struct AclChange {
  std::vector<AclEntry> put;   ///< added, or changed: by falling length
  std::vector<AclEntry> gone;  ///< by rising length
};
[[nodiscard]] AclChange difference(const Acl& from, const Acl& to);

/// "deny", "allow" or "limit".
[[nodiscard]] std::string_view acl_action(const AclEntry& entry) noexcept;

}  // namespace lb
