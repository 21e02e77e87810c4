// SPDX-License-Identifier: Apache-2.0
#include "control/table_builder.h"

#include <algorithm>
#include <utility>

namespace lb {
namespace {

struct Placed {
  RsId id;
  const IpAddr& address;
  bool up;
  std::uint32_t weight;
  std::uint16_t vlan;
};

RealServer real_server(const Placed& placed, const NextHop& hop) {
  RealServer rs;
  rs.id = placed.id;
  rs.address = placed.address;
  rs.up = placed.up;
  rs.weight = placed.weight;
  rs.vlan = placed.vlan;
  rs.egress = hop.egress;
  rs.has_mac = hop.mac && !hop.mac->is_zero() && !hop.mac->is_multicast();
  if (rs.has_mac) rs.mac = *hop.mac;
  return rs;
}

/// The weight that new flows see.
std::uint32_t effective_weight(const RsEntry& rs) { return rs.draining ? 0 : rs.settings.weight; }

bool is_starting(const ServiceEntry& entry) {
  return std::ranges::any_of(entry.real_servers, [](const auto& one) {
    return one.second.health == Health::Unknown && one.second.settings.state == ManualState::Auto;
  });
}

void add_vip(const ServiceAddr& address, const ServiceSettings& settings, ServiceTableSpec& spec) {
  if (!spec.vips.empty() && spec.vips.back().address == address.vip) return;
  spec.vips.push_back({address.vip, settings.vip_unmatched == Unmatched::Pass,
                       settings.icmp_echo == IcmpEcho::Reply});
}

}  // namespace

NextHopKey next_hop_key(const IpAddr& address, const RsSettings& settings) {
  return {address, settings.vlan, settings.port};
}
NextHopKey next_hop_key(const SorrySettings& sorry) { return {sorry.address, sorry.vlan, {}}; }

std::map<NextHopKey, bool> next_hops_needed(const Registry& registry) {
  std::map<NextHopKey, bool> needed;
  for (const auto& [address, entry] : registry.services()) {
    for (const auto& [rs_address, rs] : entry.real_servers) {
      bool& resolve = needed[next_hop_key(rs_address, rs.settings)];
      resolve = resolve || !rs.settings.mac;
    }
    if (const auto& sorry = entry.settings.sorry) {
      bool& resolve = needed[next_hop_key(*sorry)];
      resolve = resolve || !sorry->mac;
    }
  }
  return needed;
}

NextHop next_hop_of(const NextHopKey& key, const std::optional<MacAddr>& manual,
                    const NextHops& next_hops, std::span<const std::string> ports) {
  NextHop hop;
  if (auto at = next_hops.find(key); at != next_hops.end()) hop = at->second;
  if (manual) hop.mac = manual;
  auto port = std::ranges::find(ports, key.port);
  if (port != ports.end()) hop.egress = static_cast<PortIndex>(port - ports.begin());
  return hop;
}

Result<ServiceTableSpec> TableBuilder::spec(const Registry& registry, const NextHops& next_hops,
                                            std::span<const EgressPort> ports,
                                            std::uint32_t now_s) {
  tables_.begin(now_s);
  ServiceTableSpec spec;
  spec.ports.assign(ports.begin(), ports.end());
  spec.flow_key = keys_.flow;
  spec.decrement_ttl = decrement_ttl_;
  const auto& names = registry.limits().ports;
  for (const auto& [address, entry] : registry.services()) {
    add_vip(address, entry.settings, spec);
    Service service;
    service.id = entry.id;
    service.address = address;
    service.scheduler = entry.settings.scheduler;
    service.timeouts = entry.settings.timeouts;
    service.affinity = entry.settings.affinity;
    service.flow_rate = flow_rate_in_window(entry.settings.flow_rate);
    service.acl = entry.acl;
    service.hash_key = keys_.of_service(address);
    service.rs_first = static_cast<std::uint32_t>(spec.real_servers.size());
    service.rs_count = static_cast<std::uint32_t>(entry.real_servers.size());
    for (const auto& [rs_address, rs] : entry.real_servers) {
      auto hop =
          next_hop_of(next_hop_key(rs_address, rs.settings), rs.settings.mac, next_hops, names);
      spec.real_servers.push_back(
          real_server({rs.id, rs_address, is_up(rs), effective_weight(rs), rs.settings.vlan}, hop));
    }
    if (const auto& sorry = entry.settings.sorry) {
      auto hop = next_hop_of(next_hop_key(*sorry), sorry->mac, next_hops, names);
      service.sorry = static_cast<std::uint32_t>(spec.real_servers.size());
      spec.real_servers.push_back(
          real_server({entry.sorry_id, sorry->address, true, 1, sorry->vlan}, hop));
    }
    const std::span all(spec.real_servers);
    LB_TRY(tables_.give_table(
        {.service = service,
         .real_servers = all.subspan(service.rs_first, service.rs_count),
         .sorry = service.sorry != Service::kNoSorry ? &all[service.sorry] : nullptr,
         .ports = ports,
         .mh_slots = entry.settings.mh_slots,
         .window_s = slot_window_s(address, entry.settings),
         .starting = is_starting(entry)}));
    spec.services.push_back(std::move(service));
  }
  return spec;
}

Result<std::unique_ptr<ServiceTable>> TableBuilder::build(const Registry& registry,
                                                          const NextHops& next_hops,
                                                          std::span<const EgressPort> ports,
                                                          std::uint32_t now_s) {
  LB_TRY_ASSIGN(auto spec_of_table, spec(registry, next_hops, ports, now_s));
  return ServiceTable::build(std::move(spec_of_table));
}

}  // namespace lb
