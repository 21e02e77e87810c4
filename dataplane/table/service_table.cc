// SPDX-License-Identifier: Apache-2.0
// Building and searching of ServiceTable. The checks of its spec are in service_check.cc.
#include "dataplane/table/service_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "dataplane/table/service_check.h"

namespace lb {
namespace {

constexpr std::array<std::string_view, 12> kSchedulerNames{"rr", "wrr", "lc", "wlc", "sed", "nq",
                                                           "sh", "dh",  "mh", "fo",  "ovf", "twos"};

using Kind = ServiceIndex::Kind;

std::uint32_t one_past_highest(const std::vector<std::uint16_t>& slots) {
  return slots.empty() ? 0 : *std::ranges::max_element(slots) + 1U;
}

lb_vip_key vip_key(const IpAddr& address, std::uint8_t proto, std::uint16_t port) {
  lb_vip_key key{};
  std::copy_n(address.data(), 16, key.addr);
  key.port_be = Be16::from_host(port).raw();
  key.proto = proto;
  key.family = raw(address.family());
  return key;
}

/// slot -> index of the element with that slot, or `none`.
template <class T>
std::vector<std::uint32_t> by_slot(const std::vector<T>& elements, std::uint32_t none) {
  std::vector<std::uint32_t> table;
  for (std::uint32_t i = 0; i < elements.size(); ++i) {
    const std::uint32_t slot = slot_of(elements[i].id);
    if (slot >= table.size()) table.resize(slot + 1, none);
    table[slot] = i;
  }
  return table;
}

std::uint32_t pass_later_flag(Proto proto) {
  switch (proto) {
    case Proto::Tcp:
      return LB_VIP_PASS_LATER_TCP;
    case Proto::Udp:
      return LB_VIP_PASS_LATER_UDP;
    case Proto::Sctp:
      return LB_VIP_PASS_LATER_SCTP;
    case Proto::Icmp:
    case Proto::Icmp6:
      break;
  }
  return 0;
}

}  // namespace

LookupArray::LookupArray(std::vector<std::uint16_t> built)
    : slots(std::move(built)), rs_needed(one_past_highest(slots)) {}

std::string_view scheduler_name(Scheduler scheduler) {
  auto index = static_cast<std::size_t>(scheduler);
  return index < kSchedulerNames.size() ? kSchedulerNames[index] : "?";
}

Result<Scheduler> parse_scheduler(std::string_view name) {
  auto found = std::find(kSchedulerNames.begin(), kSchedulerNames.end(), name);
  if (found == kSchedulerNames.end()) {
    return fail(EINVAL, fmt::format("\"{}\" is not a scheduler (use one of {})", name,
                                    fmt::join(kSchedulerNames, ", ")));
  }
  return static_cast<Scheduler>(found - kSchedulerNames.begin());
}

Result<std::unique_ptr<ServiceTable>> ServiceTable::build(ServiceTableSpec spec) {
  LB_TRY(check_spec(spec));
  std::unique_ptr<ServiceTable> table(new ServiceTable);
  table->services_ = std::move(spec.services);
  table->real_servers_ = std::move(spec.real_servers);
  table->vips_ = std::move(spec.vips);
  table->ports_ = std::move(spec.ports);
  table->flow_key_ = spec.flow_key;
  table->decrement_ttl_ = spec.decrement_ttl;
  table->rs_by_slot_ = by_slot(table->real_servers_, kNone);
  table->service_by_slot_ = by_slot(table->services_, kNone);
  table->plan_weights();
  table->build_index();
  const std::size_t entries = table->vip_map_entries().size();
  if (entries > LB_VIP_ENTRIES_MAX) {
    return fail(E2BIG, fmt::format("{} VIPs and services need {} entries of the VIP map, which has "
                                   "{}: use port ranges or any-port services",
                                   table->vips_.size() + table->services_.size(), entries,
                                   LB_VIP_ENTRIES_MAX));
  }
  return table;
}

void ServiceTable::plan_weights() {
  for (Service& service : services_) {
    WrrPlan plan{.unit = 0};
    std::uint64_t sum = 0;
    for (const RealServer& rs : real_servers(service)) {
      if (!rs.up || rs.weight == 0) continue;
      plan.unit = std::gcd(plan.unit, rs.weight);
      sum += rs.weight;
    }
    if (sum == 0) {
      service.wrr = {};
      continue;
    }
    static_assert(std::uint64_t{kRsLimit} * kWeightMax <= 0xffffffff, "cycle fits");
    plan.cycle = static_cast<std::uint32_t>(sum / plan.unit);
    // Near the golden section, steps of one stride fall apart as evenly as steps can.
    plan.stride = static_cast<std::uint32_t>(static_cast<double>(plan.cycle) * 0.6180339887);
    while (std::gcd(plan.stride, plan.cycle) != 1) ++plan.stride;
    service.wrr = plan;
  }
}

void ServiceTable::build_index() {
  // A service adds at most its own key and its group's.
  index_ = ServiceIndex(vips_.size() + 2 * services_.size(), flow_key_);
  for (std::uint32_t i = 0; i < vips_.size(); ++i) {
    index_.insert(ServiceIndex::key_of(vips_[i].address, Kind::Vip, 0, 0), i);
  }
  std::map<std::pair<IpAddr, std::uint8_t>, std::vector<PortRange>> groups;
  for (std::uint32_t i = 0; i < services_.size(); ++i) {
    const ServiceAddr& address = services_[i].address;
    const std::uint8_t proto = raw(address.proto);
    if (address.is_range()) {
      groups[{address.vip, proto}].push_back({address.port_first, address.port_last, i});
    } else {
      index_.insert(ServiceIndex::key_of(address.vip, Kind::Exact, proto, address.port_first), i);
    }
  }
  for (auto& [key, ranges] : groups) {
    // Ranges do not overlap, so the any-port service is the only one that can hide another: it goes
    // last.
    std::ranges::sort(ranges, {}, [](const PortRange& range) {
      return std::pair(range.is_any_port(), range.first);
    });
    const auto group = static_cast<std::uint32_t>(groups_.size());
    groups_.push_back(
        {static_cast<std::uint32_t>(ranges_.size()), static_cast<std::uint32_t>(ranges.size())});
    ranges_.insert(ranges_.end(), ranges.begin(), ranges.end());
    index_.insert(ServiceIndex::key_of(key.first, Kind::Ports, key.second, 0), group);
  }
}

const Service* ServiceTable::find_range(std::uint32_t group, std::uint16_t port) const noexcept {
  if (group == kNone) return nullptr;
  const PortGroup& ranges = groups_[group];
  for (std::uint32_t i = ranges.first; i < ranges.first + ranges.count; ++i) {
    if (port >= ranges_[i].first && port <= ranges_[i].last) return &services_[ranges_[i].service];
  }
  return nullptr;
}

const Service* ServiceTable::find(const FlowKey4& key) const noexcept {
  const std::uint32_t vip = key.vip.raw();
  const std::uint16_t port = key.vip_port.host();
  std::uint32_t i = index_.find(ServiceIndex::key_v4(vip, Kind::Exact, key.proto, port));
  if (i != kNone) [[likely]] {
    return &services_[i];
  }
  if (groups_.empty()) return nullptr;
  return find_range(index_.find(ServiceIndex::key_v4(vip, Kind::Ports, key.proto, 0)), port);
}

const Service* ServiceTable::find(const FlowKey6& key) const noexcept {
  const std::uint16_t port = key.vip_port.host();
  std::uint32_t i = index_.find(ServiceIndex::key_v6(key.vip, Kind::Exact, key.proto, port));
  if (i != kNone) [[likely]] {
    return &services_[i];
  }
  if (groups_.empty()) return nullptr;
  return find_range(index_.find(ServiceIndex::key_v6(key.vip, Kind::Ports, key.proto, 0)), port);
}

const VipPolicy* ServiceTable::vip(const IpAddr& address) const noexcept {
  std::uint32_t i = index_.find(ServiceIndex::key_of(address, Kind::Vip, 0, 0));
  return i == kNone ? nullptr : &vips_[i];
}

/// By VIP: the flags of the protocols that no service of it takes.
std::vector<std::uint32_t> ServiceTable::pass_later() const {
  constexpr std::uint32_t kAll =
      LB_VIP_PASS_LATER_TCP | LB_VIP_PASS_LATER_UDP | LB_VIP_PASS_LATER_SCTP;
  std::vector<std::uint32_t> flags(vips_.size(), kAll);
  for (const Service& service : services_) {
    const std::uint32_t vip =
        index_.find(ServiceIndex::key_of(service.address.vip, Kind::Vip, 0, 0));
    if (vip != kNone) flags[vip] &= ~pass_later_flag(service.address.proto);
  }
  return flags;
}

std::vector<ServiceTable::VipMapEntry> ServiceTable::vip_map_entries() const {
  std::vector<VipMapEntry> entries;
  const std::vector<std::uint32_t> later = pass_later();
  for (std::size_t i = 0; i < vips_.size(); ++i) {
    const VipPolicy& vip = vips_[i];
    VipMapEntry entry{vip_key(vip.address, 0, 0), {}};
    if (vip.pass_unmatched) entry.value.flags |= LB_VIP_PASS_UNMATCHED | later[i];
    if (vip.echo_reply) entry.value.flags |= LB_VIP_ECHO_REPLY;
    entries.push_back(entry);
  }
  for (const Service& service : services_) {
    const ServiceAddr& address = service.address;
    if (address.is_range()) continue;
    entries.push_back({vip_key(address.vip, raw(address.proto), address.port_first), {}});
  }
  for (const PortGroup& group : groups_) {
    auto ranges = std::span(ranges_).subspan(group.first, group.count);
    const ServiceAddr& address = services_[ranges.back().service].address;
    // An any-port service takes what its siblings take, too: one range tells the XDP program all.
    if (ranges.back().is_any_port()) ranges = ranges.last(1);
    VipMapEntry entry{vip_key(address.vip, raw(address.proto), 0), {}};
    for (const PortRange& range : ranges) {
      entry.value.ranges[entry.value.range_count++] = {range.first, range.last};
    }
    entries.push_back(entry);
  }
  return entries;
}

std::size_t ServiceTable::memory_bytes() const noexcept {
  std::size_t bytes =
      sizeof *this + services_.capacity() * sizeof(Service) +
      real_servers_.capacity() * sizeof(RealServer) + vips_.capacity() * sizeof(VipPolicy) +
      ports_.capacity() * sizeof(EgressPort) + groups_.capacity() * sizeof(PortGroup) +
      ranges_.capacity() * sizeof(PortRange) + index_.memory_bytes() +
      (rs_by_slot_.capacity() + service_by_slot_.capacity()) * sizeof(std::uint32_t);
  for (const Service& service : services_) {
    if (service.lookup) bytes += service.lookup->slots.capacity() * sizeof(std::uint16_t);
  }
  return bytes;
}

}  // namespace lb
