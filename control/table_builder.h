// SPDX-License-Identifier: Apache-2.0
// TableBuilder: from registry, next hops and ports to a ServiceTable. Pure but for a cache of
// lookup arrays, so that a service whose members did not change is not hashed again. Control's one
// thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "control/registry.h"
#include "dataplane/table/service_table.h"

namespace lb {

/// The secrets of an instance, kept in the state file so that a restart picks the same real
/// servers.
struct HashKeys {
  lb_hash_key flow{};     ///< of the flow hash
  lb_hash_key service{};  ///< what the keys of the services are derived from
  [[nodiscard]] static HashKeys random();
  /// Secret of a service's hashed scheduler: the same after it was deleted and added again.
  [[nodiscard]] std::uint64_t of_service(const ServiceAddr& address) const;
};

/// What the resolver is asked for: an RS as its settings place it. Services that share an RS share
/// the key.
struct NextHopKey {
  IpAddr address;
  std::uint16_t vlan = 0;
  std::string port;  ///< RsSettings::port; empty: the one on its network
  friend auto operator<=>(const NextHopKey&, const NextHopKey&) = default;
};
/// What it answers. A manual MAC goes before `mac`.
struct NextHop {
  std::optional<MacAddr> mac;  ///< nullopt: not known (yet)
  PortIndex egress{};
  friend bool operator==(const NextHop&, const NextHop&) = default;
};
using NextHops = std::map<NextHopKey, NextHop>;

[[nodiscard]] NextHopKey next_hop_key(const IpAddr& address, const RsSettings& settings);
[[nodiscard]] NextHopKey next_hop_key(const SorrySettings& sorry);
/// Every key that the registry's RS and sorry RS need, once; `true`: at least one of them has no
/// manual MAC.
[[nodiscard]] std::map<NextHopKey, bool> next_hops_needed(const Registry& registry);

/// Where an RS is sent to: manual MAC and port, then the resolver's answer, then (a single port)
/// that one.
[[nodiscard]] NextHop next_hop_of(const NextHopKey& key, const std::optional<MacAddr>& manual,
                                  const NextHops& next_hops, std::span<const std::string> ports);

class TableBuilder {
 public:
  TableBuilder(HashKeys keys, bool decrement_ttl) : keys_(keys), decrement_ttl_(decrement_ttl) {}
  void set_decrement_ttl(bool on) { decrement_ttl_ = on; }
  /// RS stand sorted by address, services likewise; lookup arrays hold RS that take new flows only.
  [[nodiscard]] Result<std::unique_ptr<ServiceTable>> build(const Registry& registry,
                                                            const NextHops& next_hops,
                                                            std::span<const EgressPort> ports);
  /// The same, before ServiceTable::build: for tests.
  [[nodiscard]] Result<ServiceTableSpec> spec(const Registry& registry, const NextHops& next_hops,
                                              std::span<const EgressPort> ports);

 private:
  struct Cached {
    std::vector<std::pair<IpAddr, std::uint32_t>> members;  ///< with their effective weights
    std::uint32_t slots = 0;
    std::uint64_t used_by = 0;  ///< number of the build
    std::shared_ptr<const LookupArray> lookup;
  };
  Result<std::shared_ptr<const LookupArray>> lookup_of(const ServiceAddr& address,
                                                       const ServiceEntry& entry,
                                                       std::uint64_t key);
  HashKeys keys_;
  bool decrement_ttl_;
  std::uint64_t builds_ = 0;
  std::map<ServiceAddr, Cached> cache_;
};

}  // namespace lb
