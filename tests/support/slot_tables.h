// SPDX-License-Identifier: Apache-2.0
// give_tables(): tables of slots for a spec that a test has written, as control would build them
// when nothing is in transition.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/table/maglev.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/slot_plan.h"

namespace lb::test {

/// Members are the real servers in their order, then the sorry server; those that are up and have a
/// weight own the slots, else the sorry server, else nobody.
inline std::shared_ptr<TableObject> table_of(const ServiceTableSpec& spec, const Service& service,
                                             std::uint32_t slots = 251) {
  std::vector<const RealServer*> members;
  for (std::uint32_t i = 0; i < service.rs_count; ++i) {
    members.push_back(&spec.real_servers[service.rs_first + i]);
  }
  if (service.sorry != Service::kNoSorry) members.push_back(&spec.real_servers[service.sorry]);
  std::vector<MaglevBackend> backends;
  bool any = false;
  for (std::uint32_t i = 0; i < service.rs_count; ++i) {
    const std::uint32_t weight = members[i]->up ? members[i]->weight : 0;
    backends.push_back({lb_mix64(i + 1), lb_mix64(i + 1000), weight});
    any = any || weight != 0;
  }
  const bool sorry = service.sorry != Service::kNoSorry && members.back()->up;
  std::vector<std::uint16_t> owners(
      slots, static_cast<std::uint16_t>(sorry ? service.rs_count : LB_SLOT_NOBODY));
  if (any) owners = *build_maglev(backends, slots);
  HeapTableMemory memory;
  auto table = memory.make(slots, static_cast<std::uint32_t>(members.size()));
  LB_ASSERT(table.has_value());
  SlotPlan(std::move(owners)).write(**table);
  (*table)->head().members = static_cast<std::uint32_t>(members.size());
  (*table)->head().service_id = raw(service.id);
  for (std::size_t i = 0; i < members.size(); ++i) {
    lb_rs_entry& entry = (*table)->members()[i];
    entry.id = raw(members[i]->id);
    entry.vlan = members[i]->vlan;
    entry.egress = raw(members[i]->egress);
    if (members[i]->up) entry.flags |= LB_RS_UP;
    if (members[i]->up && members[i]->weight == 0) entry.flags |= LB_RS_DRAINS;
  }
  return std::move(*table);
}

inline void give_tables(ServiceTableSpec& spec, std::uint32_t slots = 251) {
  for (Service& service : spec.services) service.table = table_of(spec, service, slots);
}

}  // namespace lb::test
