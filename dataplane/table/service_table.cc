// SPDX-License-Identifier: Apache-2.0
// Building and searching of ServiceTable. The checks of its spec are in service_check.cc.
#include "dataplane/table/service_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

#include "dataplane/table/service_check.h"

namespace lb {
namespace {

constexpr std::array<std::string_view, 12> kSchedulerNames{"rr", "wrr", "lc", "wlc", "sed", "nq",
                                                           "sh", "dh",  "mh", "fo",  "ovf", "twos"};

using Kind = ServiceIndex::Kind;

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
  table->plan_vips();
  table->build_bloom();
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

void ServiceTable::add_exact(const ServiceAddr& address, std::uint32_t service) {
  const std::uint8_t proto = raw(address.proto);
  if (address.vip.is_v4()) {
    exact4_.insert(
        ExactIndex4::key_of(address.vip.as_v4(), proto, Be16::from_host(address.port_first)),
        service);
  } else {
    index_.insert(ServiceIndex::key_of(address.vip, Kind::Exact, proto, address.port_first),
                  service);
  }
}

void ServiceTable::build_index() {
  // A service adds at most its own key and its group's.
  index_ = ServiceIndex(vips_.size() + 2 * services_.size(), flow_key_);
  for (std::uint32_t i = 0; i < vips_.size(); ++i) {
    index_.insert(ServiceIndex::key_of(vips_[i].address, Kind::Vip, 0, 0), i);
  }
  exact4_ = ExactIndex4(services_.size(), flow_key_);
  std::map<std::pair<IpAddr, std::uint8_t>, std::vector<PortRange>> groups;
  for (std::uint32_t i = 0; i < services_.size(); ++i) {
    const ServiceAddr& address = services_[i].address;
    const std::uint8_t proto = raw(address.proto);
    if (address.is_range()) {
      groups[{address.vip, proto}].push_back({address.port_first, address.port_last, i});
    } else {
      add_exact(address, i);
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

void ServiceTable::build_bloom() {
  for (const VipPolicy& vip : vips_) {
    std::uint64_t words[2];
    std::memcpy(words, vip.address.data(), sizeof words);
    const std::uint32_t bit = lb_bloom_bit(words[0], words[1]);
    vip_bloom_[bit / 64] |= std::uint64_t{1} << (bit % 64);
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

const Service* ServiceTable::find_in_ranges(const FlowKey4& key) const noexcept {
  if (groups_.empty()) return nullptr;
  return find_range(index_.find(ServiceIndex::key_v4(key.vip.raw(), Kind::Ports, key.proto, {})),
                    key.vip_port.host());
}

const Service* ServiceTable::find_in_ranges(const FlowKey6& key) const noexcept {
  if (groups_.empty()) return nullptr;
  return find_range(index_.find(ServiceIndex::key_v6(key.vip, Kind::Ports, key.proto, {})),
                    key.vip_port.host());
}

const VipPolicy* ServiceTable::vip(const IpAddr& address) const noexcept {
  std::uint32_t i = index_.find(ServiceIndex::key_of(address, Kind::Vip, 0, 0));
  return i == kNone ? nullptr : &vips_[i];
}

void ServiceTable::plan_vips() {
  constexpr std::uint32_t kAllLater =
      LB_VIP_PASS_LATER_TCP | LB_VIP_PASS_LATER_UDP | LB_VIP_PASS_LATER_SCTP;
  vip_flags_.clear();
  for (const VipPolicy& vip : vips_) {
    std::uint32_t flags = vip.echo_reply ? LB_VIP_ECHO_REPLY : 0;
    if (vip.pass_unmatched) flags |= LB_VIP_PASS_UNMATCHED | kAllLater;
    vip_flags_.push_back(flags);
  }
  // Later fragments of a protocol that a service of the VIP takes are the worker's.
  for (const Service& service : services_) {
    const std::uint32_t vip =
        index_.find(ServiceIndex::key_of(service.address.vip, Kind::Vip, 0, 0));
    if (vip != kNone) vip_flags_[vip] &= ~pass_later_flag(service.address.proto);
  }
}

std::size_t ServiceTable::memory_bytes() const noexcept {
  std::size_t bytes =
      sizeof *this + services_.capacity() * sizeof(Service) +
      real_servers_.capacity() * sizeof(RealServer) + vips_.capacity() * sizeof(VipPolicy) +
      ports_.capacity() * sizeof(EgressPort) + groups_.capacity() * sizeof(PortGroup) +
      ranges_.capacity() * sizeof(PortRange) + index_.memory_bytes() + exact4_.memory_bytes() +
      (rs_by_slot_.capacity() + service_by_slot_.capacity()) * sizeof(std::uint32_t);
  for (const Service& service : services_) {
    if (service.table) bytes += service.table->room().bytes();
  }
  return bytes;
}

}  // namespace lb
