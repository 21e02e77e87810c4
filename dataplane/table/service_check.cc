// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/service_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "dataplane/table/slot_plan.h"

namespace lb {
namespace {

bool is_host_address(const IpAddr& address) {
  return !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
}

bool has_incarnation(std::uint32_t id) { return id >> kSlotBits != 0; }

Status check_sizes(const ServiceTableSpec& spec) {
  if (spec.services.size() > kServicesLimit) {
    return fail(E2BIG,
                fmt::format("{} services are more than {}", spec.services.size(), kServicesLimit));
  }
  if (spec.real_servers.size() > kRsLimit) {
    return fail(
        E2BIG, fmt::format("{} real servers are more than {}", spec.real_servers.size(), kRsLimit));
  }
  if (spec.ports.size() > 256) {
    return fail(E2BIG, fmt::format("{} ports are more than 256", spec.ports.size()));
  }
  return {};
}

Status check_vips(const ServiceTableSpec& spec) {
  std::set<IpAddr> seen;
  for (const VipPolicy& vip : spec.vips) {
    if (!is_host_address(vip.address)) {
      return fail(EINVAL,
                  fmt::format("VIP {} is not an address of one host", vip.address.to_string()));
    }
    if (!seen.insert(vip.address).second) {
      return fail(EEXIST, fmt::format("VIP {} is there twice", vip.address.to_string()));
    }
  }
  for (const Service& service : spec.services) {
    if (!seen.contains(service.address.vip)) {
      return fail(EINVAL, fmt::format("service {}: its VIP is not among the VIPs of the table",
                                      service.address.to_string()));
    }
  }
  return {};
}

Status check_real_server(const RealServer& rs, std::size_t ports) {
  const std::string name = rs.address.to_string();
  if (!has_incarnation(raw(rs.id))) {
    return fail(EINVAL, fmt::format("real server {}: it has no id", name));
  }
  if (!is_host_address(rs.address)) {
    return fail(EINVAL, fmt::format("real server {}: not an address of one host", name));
  }
  if (rs.weight > kWeightMax) {
    return fail(EINVAL,
                fmt::format("real server {}: weight {} is over {}", name, rs.weight, kWeightMax));
  }
  if (rs.vlan > 4094) {
    return fail(EINVAL,
                fmt::format("real server {}: VLAN {} is not within 1 and 4094", name, rs.vlan));
  }
  if (raw(rs.egress) >= ports) {
    return fail(EINVAL, fmt::format("real server {}: port {} of {} does not exist", name,
                                    raw(rs.egress), ports));
  }
  if (rs.has_mac && (rs.mac.is_zero() || rs.mac.is_multicast())) {
    return fail(EINVAL, fmt::format("real server {}: MAC {} is not that of one station", name,
                                    rs.mac.to_string()));
  }
  return {};
}

/// Index of a real server by its slot, or kNobody.
using BySlot = std::vector<std::uint32_t>;
constexpr std::uint32_t kNobody = ~0U;

Result<BySlot> check_real_servers(const ServiceTableSpec& spec) {
  BySlot by_slot(kRsLimit, kNobody);
  for (std::uint32_t i = 0; i < spec.real_servers.size(); ++i) {
    const RealServer& rs = spec.real_servers[i];
    LB_TRY(check_real_server(rs, spec.ports.size()));
    std::uint32_t& index = by_slot[slot_of(rs.id)];
    if (index != kNobody) {
      return fail(EEXIST, fmt::format("real server {}: slot {} is taken by another",
                                      rs.address.to_string(), slot_of(rs.id)));
    }
    index = i;
  }
  return by_slot;
}

Status check_address(const ServiceAddr& address) {
  if (address.proto != Proto::Tcp && address.proto != Proto::Udp && address.proto != Proto::Sctp) {
    return fail(EINVAL, fmt::format("service {}: protocol {} has no ports to balance by",
                                    address.vip.to_string(), raw(address.proto)));
  }
  if (address.port_first == 0 || address.port_first > address.port_last) {
    return fail(EINVAL, fmt::format("service {}: ports {}-{} are no range", address.vip.to_string(),
                                    address.port_first, address.port_last));
  }
  return {};
}

/// `owned[i]`: real server i is in a service's range already.
Status check_range(const Service& service, const ServiceTableSpec& spec, std::vector<bool>& owned) {
  const std::string name = service.address.to_string();
  const std::size_t total = spec.real_servers.size();
  if (service.rs_first > total || service.rs_count > total - service.rs_first) {
    return fail(EINVAL, fmt::format("service {}: real servers {} and {} after it are beyond {}",
                                    name, service.rs_first, service.rs_count, total));
  }
  std::set<IpAddr> addresses;
  for (std::uint32_t i = service.rs_first; i < service.rs_first + service.rs_count; ++i) {
    if (owned[i]) {
      return fail(EINVAL, fmt::format("service {}: real server {} belongs to another service, too",
                                      name, spec.real_servers[i].address.to_string()));
    }
    owned[i] = true;
    if (!addresses.insert(spec.real_servers[i].address).second) {
      return fail(EEXIST, fmt::format("service {}: real server {} is there twice", name,
                                      spec.real_servers[i].address.to_string()));
    }
  }
  if (service.sorry == Service::kNoSorry) return {};
  if (service.sorry >= total) {
    return fail(EINVAL, fmt::format("service {}: sorry server {} is beyond {}", name, service.sorry,
                                    total));
  }
  if (service.sorry >= service.rs_first && service.sorry < service.rs_first + service.rs_count) {
    return fail(EINVAL,
                fmt::format("service {}: its sorry server is one of its real servers", name));
  }
  return {};
}

Status check_family(const Service& service, const RealServer& rs) {
  const ServiceAddr& address = service.address;
  if (rs.address.family() != address.vip.family()) {
    return fail(EINVAL, fmt::format("service {}: real server {} is of the other address family",
                                    address.to_string(), rs.address.to_string()));
  }
  if (rs.address == address.vip) {
    return fail(EINVAL, fmt::format("service {}: a real server cannot have the VIP as its address",
                                    address.to_string()));
  }
  return {};
}

Status check_table(const Service& service, const ServiceTableSpec& spec, const BySlot& by_slot) {
  if (!service.table) return {};
  const TableObject& table = *service.table;
  if (!table.is_checked()) {
    if (auto plan = SlotPlan::read(table); !plan) {
      return fail_in(service.address.to_string(), std::move(plan).error());
    }
    table.set_checked();
  }
  if (service.members.size() != table.head().members) {
    return fail(EINVAL,
                fmt::format("service {}: {} members of a table of {}", service.address.to_string(),
                            service.members.size(), table.head().members));
  }
  for (std::uint32_t i = 0; i < table.head().members; ++i) {
    const RsId id = service.members[i];
    const lb_rs_entry& entry = table.member(i);
    if (id == RsId::None && entry.place == 0 && entry.flags == 0) continue;
    const std::uint32_t index = by_slot[slot_of(id)];
    const bool own = index == service.sorry ||
                     (index >= service.rs_first && index < service.rs_first + service.rs_count);
    if (entry.place != i + 1 || index == kNobody || !own || spec.real_servers[index].id != id) {
      return fail(EINVAL, fmt::format("service {}: member {} of its table is none of its servers",
                                      service.address.to_string(), i));
    }
  }
  return {};
}

Status check_service(const Service& service, const ServiceTableSpec& spec, const BySlot& by_slot,
                     std::vector<bool>& owned) {
  LB_TRY(check_address(service.address));
  const std::string name = service.address.to_string();
  if (!has_incarnation(raw(service.id))) {
    return fail(EINVAL, fmt::format("service {}: it has no id", name));
  }
  if (static_cast<std::size_t>(service.scheduler) > static_cast<std::size_t>(Scheduler::Twos)) {
    return fail(EINVAL, fmt::format("service {}: its scheduler is unknown", name));
  }
  LB_TRY(check_range(service, spec, owned));
  for (std::uint32_t i = 0; i < service.rs_count; ++i) {
    LB_TRY(check_family(service, spec.real_servers[service.rs_first + i]));
  }
  if (service.sorry != Service::kNoSorry) {
    LB_TRY(check_family(service, spec.real_servers[service.sorry]));
  }
  return check_table(service, spec, by_slot);
}

Status check_overlaps(std::vector<const ServiceAddr*>& ranges) {
  std::ranges::sort(ranges, {}, [](const ServiceAddr* range) { return range->port_first; });
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i]->port_first > ranges[i - 1]->port_last) continue;
    return fail(EEXIST, fmt::format("service {} overlaps {}", ranges[i]->to_string(),
                                    ranges[i - 1]->to_string()));
  }
  if (ranges.size() > LB_PORT_RANGES_MAX) {
    return fail(E2BIG, fmt::format("service {}: more than {} port ranges of one VIP and protocol",
                                   ranges.back()->to_string(), LB_PORT_RANGES_MAX));
  }
  return {};
}

/// No two services take the same packets by the same right: exact port, range, or any port.
Status check_services_apart(const ServiceTableSpec& spec) {
  std::set<ServiceAddr> seen;
  std::vector<bool> slots(kServicesLimit);
  std::map<std::pair<IpAddr, Proto>, std::vector<const ServiceAddr*>> ranges;
  for (const Service& service : spec.services) {
    const ServiceAddr& address = service.address;
    if (!seen.insert(address).second) {
      return fail(EEXIST, fmt::format("service {} is there twice", address.to_string()));
    }
    if (slots[slot_of(service.id)]) {
      return fail(EEXIST, fmt::format("service {}: slot {} is taken by another",
                                      address.to_string(), slot_of(service.id)));
    }
    slots[slot_of(service.id)] = true;
    if (address.is_range() && !address.is_any_port()) {
      ranges[{address.vip, address.proto}].push_back(&address);
    }
  }
  for (auto& [key, group] : ranges) LB_TRY(check_overlaps(group));
  return {};
}

}  // namespace

Status check_spec(const ServiceTableSpec& spec) {
  LB_TRY(check_sizes(spec));
  LB_TRY_ASSIGN(const BySlot by_slot, check_real_servers(spec));
  std::vector<bool> owned(spec.real_servers.size());
  for (const Service& service : spec.services) LB_TRY(check_service(service, spec, by_slot, owned));
  LB_TRY(check_vips(spec));
  return check_services_apart(spec);
}

}  // namespace lb
