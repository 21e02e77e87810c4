// SPDX-License-Identifier: Apache-2.0
// TableBuilder: from registry, next hops and ports to a ServiceTable. Pure but for what the tables
// of the services were before (TableKeeper), from which the transitions of their slots follow.
// Control's one thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "control/hash_keys.h"
#include "control/registry.h"
#include "control/table_keeper.h"
#include "dataplane/table/service_table.h"

namespace lb {

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
  /// `memory` outlives the builder.
  TableBuilder(HashKeys keys, bool decrement_ttl, TableMemory& memory)
      : keys_(keys), decrement_ttl_(decrement_ttl), tables_(memory, keys.service) {}
  void set_decrement_ttl(bool on) { decrement_ttl_ = on; }
  /// RS stand sorted by address, services likewise; slots are owned by RS that take new flows, else
  /// by the sorry RS, else by nobody. `now_s`: CLOCK_BOOTTIME. Each build starts from what was
  /// published(): a table that is not published counts as one that workers may have seen for a
  /// while.
  [[nodiscard]] Result<std::unique_ptr<ServiceTable>> build(const Registry& registry,
                                                            const NextHops& next_hops,
                                                            std::span<const EgressPort> ports,
                                                            std::uint32_t now_s);
  /// The same, before ServiceTable::build: for tests.
  [[nodiscard]] Result<ServiceTableSpec> spec(const Registry& registry, const NextHops& next_hops,
                                              std::span<const EgressPort> ports,
                                              std::uint32_t now_s);
  /// The last build has been published.
  void published() { tables_.commit(); }
  [[nodiscard]] TableKeeper& tables() { return tables_; }
  [[nodiscard]] const TableKeeper& tables() const { return tables_; }

 private:
  HashKeys keys_;
  bool decrement_ttl_;
  TableKeeper tables_;
};

}  // namespace lb
