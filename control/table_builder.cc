// SPDX-License-Identifier: Apache-2.0
#include "control/table_builder.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.h"
#include "dataplane/table/maglev.h"

namespace lb {
namespace {

/// A keyed hash of an address; 64 bits that nobody without the key can steer.
std::uint64_t hash_address(const IpAddr& address, std::uint64_t salt, const lb_hash_key& key) {
  std::uint64_t words[2];
  std::memcpy(words, address.data(), sizeof words);
  std::uint64_t h = lb_hash_word(words[0], key.k0) + lb_hash_word(words[1], key.k1);
  h += raw(address.family());
  return lb_mix64(h ^ lb_mix64(key.k1 ^ salt));
}

MaglevBackend backend_of(const IpAddr& address, std::uint32_t weight, std::uint64_t key) {
  lb_hash_key secret{key, lb_mix64(key ^ 0x9e3779b97f4a7c15ULL)};
  return {hash_address(address, 1, secret), hash_address(address, 2, secret), weight};
}

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

void add_vip(const ServiceAddr& address, const ServiceSettings& settings, ServiceTableSpec& spec) {
  if (!spec.vips.empty() && spec.vips.back().address == address.vip) return;
  spec.vips.push_back({address.vip, settings.vip_unmatched == Unmatched::Pass,
                       settings.icmp_echo == IcmpEcho::Reply});
}

}  // namespace

HashKeys HashKeys::random() {
  HashKeys keys;
  auto* at = reinterpret_cast<unsigned char*>(&keys);
  static_assert(sizeof keys == 32, "no padding to fill");
  // Up to 256 bytes getrandom() is neither short nor interrupted once the kernel's pool is ready.
  LB_ASSERT(getrandom(at, sizeof keys, 0) == static_cast<ssize_t>(sizeof keys));
  return keys;
}

std::uint64_t HashKeys::of_service(const ServiceAddr& address) const {
  std::uint64_t ports = static_cast<std::uint64_t>(address.port_first) << 32 |
                        static_cast<std::uint64_t>(address.port_last) << 16 | raw(address.proto);
  return hash_address(address.vip, ports << 8, service);
}

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

Result<std::shared_ptr<const LookupArray>> TableBuilder::lookup_of(const ServiceAddr& address,
                                                                   const ServiceEntry& entry,
                                                                   std::uint64_t key) {
  std::vector<std::pair<IpAddr, std::uint32_t>> members;
  members.reserve(entry.real_servers.size());
  bool any = false;
  for (const auto& [rs_address, rs] : entry.real_servers) {
    std::uint32_t weight = takes_new_flows(rs) ? rs.settings.weight : 0;
    any = any || weight > 0;
    members.emplace_back(rs_address, weight);
  }
  Cached& cached = cache_[address];
  cached.used_by = builds_;
  std::uint32_t slots = entry.settings.mh_slots;
  if (cached.slots == slots && cached.members == members) return cached.lookup;
  std::shared_ptr<const LookupArray> lookup;
  if (any) {
    std::vector<MaglevBackend> backends;
    backends.reserve(members.size());
    for (const auto& [rs_address, weight] : members) {
      backends.push_back(backend_of(rs_address, weight, key));
    }
    auto array = build_maglev(backends, slots);
    if (!array) return fail_in(address.to_string(), std::move(array).error());
    lookup = std::make_shared<const LookupArray>(LookupArray{std::move(*array)});
  }
  cached.members = std::move(members);
  cached.slots = slots;
  cached.lookup = std::move(lookup);
  return cached.lookup;
}

Result<ServiceTableSpec> TableBuilder::spec(const Registry& registry, const NextHops& next_hops,
                                            std::span<const EgressPort> ports) {
  ++builds_;
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
    if (is_hashed(service.scheduler)) {
      LB_TRY_ASSIGN(service.lookup, lookup_of(address, entry, service.hash_key));
    }
    spec.services.push_back(std::move(service));
  }
  std::erase_if(cache_, [&](const auto& one) { return one.second.used_by != builds_; });
  return spec;
}

Result<std::unique_ptr<ServiceTable>> TableBuilder::build(const Registry& registry,
                                                          const NextHops& next_hops,
                                                          std::span<const EgressPort> ports) {
  LB_TRY_ASSIGN(auto spec_of_table, spec(registry, next_hops, ports));
  return ServiceTable::build(std::move(spec_of_table));
}

}  // namespace lb
