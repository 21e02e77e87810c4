// SPDX-License-Identifier: Apache-2.0
#include "control/table_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "control/hash_keys.h"
#include "dataplane/base/log.h"
#include "dataplane/table/maglev.h"

namespace lb {
namespace {

constexpr std::uint32_t kSlackS =
    2;  // seconds are cut off, and workers adopt a table a little later

// Slots of services that remember every flow: only while no lbd runs is one picked by them.
constexpr std::uint32_t kSlotsFew = 1021;   // up to so many members as the smallest class has
constexpr std::uint32_t kSlotsMany = 8191;  // Maglev needs as many slots as members
static_assert(kSlotsFew <= LB_TABLE_SLOTS0 && kSlotsMany >= LB_TABLE_MEMBERS2);

std::uint32_t slots_of(const TableKeeper::Need& need, std::uint32_t members,
                       const TableObject* before) {
  if (is_hashed(need.service.scheduler)) return need.mh_slots;
  std::uint32_t slots = members <= LB_TABLE_MEMBERS0 ? kSlotsFew : kSlotsMany;
  if (members > kSlotsMany) slots = kMaglevSlotsDefault;
  // One that was hashed keeps its slots, and with them the way of flows that nobody remembers.
  return before != nullptr ? std::max(slots, before->head().slots) : slots;
}

lb_rs_entry entry_of(const RealServer& rs, std::span<const EgressPort> ports) {
  lb_rs_entry entry{};
  entry.id = raw(rs.id);
  entry.vlan = rs.vlan;
  entry.egress = raw(rs.egress);
  if (rs.up) entry.flags |= LB_RS_UP;
  if (rs.up && rs.weight == 0) entry.flags |= LB_RS_DRAINS;
  if (rs.has_mac) {
    entry.flags |= LB_RS_HAS_MAC;
    std::ranges::copy(rs.mac.bytes, entry.macs);
  }
  if (raw(rs.egress) < ports.size()) {
    const EgressPort& port = ports[raw(rs.egress)];
    std::ranges::copy(port.mac.bytes, entry.macs + 6);
    entry.mtu = static_cast<std::uint16_t>(std::min(port.mtu, 0xffffU));
    if (port.up) entry.flags |= LB_RS_EGRESS_UP;
  }
  return entry;
}

lb_rs_name name_of(const RealServer& rs, bool sorry) {
  lb_rs_name name{};
  std::copy_n(rs.address.data(), sizeof name.addr, name.addr);
  name.family = raw(rs.address.family());
  name.sorry = sorry;
  name.weight = rs.weight;
  return name;
}

IpAddr address_of(const lb_rs_name& name) {
  return name.family == raw(Family::V6) ? IpAddr::v6(name.addr) : IpAddr::v4(Be32::load(name.addr));
}

/// Of a table that somebody else may still write to.
std::uint32_t members_in(const TableObject& table) {
  return std::min(table.head().members, table.room().members);
}

std::uint16_t one_past(const auto& members) {
  std::uint16_t end = 0;
  for (const auto& [member, index] : members) end = std::max<std::uint16_t>(end, index + 1);
  return end;
}

}  // namespace

std::uint32_t slot_window_s(const ServiceAddr& address, const ServiceSettings& settings) {
  return transition_window_ms(address, settings) / 1000 + kSlackS;
}

TableKeeper::Use TableKeeper::use_of(const Service& service) {
  Use use{.hash = slot_hash_of(service.scheduler), .remembers = Remembers::Changes};
  if (!is_hashed(service.scheduler)) {
    use.remembers = Remembers::All;
  } else if (service.address.proto != Proto::Tcp) {
    if (service.affinity == Affinity::Always) use.remembers = Remembers::All;
    if (service.affinity == Affinity::None) use.remembers = Remembers::None;
  }
  return use;
}

/// Who stays keeps its index. An index that becomes free now is not given anew now: slots may still
/// name its last owner.
TableKeeper::Members TableKeeper::members_of(const Need& need, const Kept* before) {
  std::vector<bool> taken;
  if (before != nullptr) {
    taken.resize(one_past(before->members));
    for (const auto& [member, index] : before->members) taken[index] = true;
  }
  Members members;
  std::vector<Member> fresh;
  auto add = [&](Member member) {
    const bool known = before != nullptr && before->members.contains(member);
    if (known) {
      members.emplace(member, before->members.at(member));
    } else {
      fresh.push_back(member);
    }
  };
  for (const RealServer& rs : need.real_servers) add({rs.address, false});
  if (need.sorry != nullptr) add({need.sorry->address, true});
  std::size_t index = 0;
  for (const Member& member : fresh) {
    while (index < taken.size() && taken[index]) ++index;
    members.emplace(member, static_cast<std::uint16_t>(index++));
  }
  return members;
}

TableKeeper::Entries TableKeeper::entries_of(const Need& need, const Members& members) {
  Entries entries;
  entries.first.resize(one_past(members));
  entries.second.resize(one_past(members));
  auto fill = [&](const RealServer& rs, bool sorry) {
    const std::uint16_t index = members.at({rs.address, sorry});
    entries.first[index] = entry_of(rs, need.ports);
    entries.second[index] = name_of(rs, sorry);
  };
  for (const RealServer& rs : need.real_servers) fill(rs, false);
  if (need.sorry != nullptr) fill(*need.sorry, true);
  return entries;
}

bool TableKeeper::same_entries(const TableObject& table, const Entries& entries) {
  const auto& [rs, names] = entries;
  if (table.head().members != rs.size()) return false;
  return std::memcmp(&table.member(0), rs.data(), rs.size() * sizeof rs[0]) == 0 &&
         std::memcmp(&table.name(0), names.data(), names.size() * sizeof names[0]) == 0;
}

TableKeeper::Owners TableKeeper::owners_of(const Need& need, const Members& members,
                                           std::uint32_t slots) {
  Owners owners;
  owners.slots = slots;
  for (const RealServer& rs : need.real_servers) {
    if (!rs.up || rs.weight == 0) continue;
    owners.backends.emplace_back(rs.address, rs.weight);
    owners.member.push_back(members.at({rs.address, false}));
  }
  if (owners.backends.empty() && need.sorry != nullptr && need.sorry->up) {
    owners.only = members.at({need.sorry->address, true});
  }
  return owners;
}

/// True when the table of before is the next one, too.
bool TableKeeper::is_same(const Need& need, const Record& record, const Kept& next,
                          const Entries& entries) const {
  const TableObject* table = record.table();
  if (table == nullptr || !record.doubtful.empty() || record.stay) return false;
  const Kept& kept = *record.kept;
  const bool due = kept.deadline_s && *kept.deadline_s <= now_s_;
  return !due && kept.use == next.use && kept.owners == next.owners &&
         kept.hash_key == next.hash_key && table->head().window_s == need.window_s &&
         same_entries(*table, entries);
}

/// The owner of each slot.
Result<std::vector<std::uint16_t>> TableKeeper::slots_by_owner(const Record& record,
                                                               const Owners& owners) {
  std::vector<std::uint16_t> slots(owners.slots, owners.only);
  if (record.table() != nullptr && record.kept->owners == owners) {
    for (std::uint32_t i = 0; i < owners.slots; ++i) {
      slots[i] = record.table()->hot(i) & LB_SLOT_OWNER;
    }
  } else if (!owners.backends.empty()) {
    std::vector<std::uint16_t>& array = arrays_[{owners.slots, owners.backends}];
    if (array.empty()) {
      std::vector<MaglevBackend> hashed;
      for (const auto& [address, weight] : owners.backends) {
        hashed.push_back(
            {hash_address(address, 1, secret_), hash_address(address, 2, secret_), weight});
      }
      LB_TRY_ASSIGN(array, build_maglev(hashed, owners.slots));
    }
    for (std::uint32_t i = 0; i < owners.slots; ++i) slots[i] = owners.member[array[i]];
  }
  return slots;
}

Result<SlotPlan> TableKeeper::plan_of(const Need& need, const Record& record, const Kept& next,
                                      const Entries& entries) {
  LB_TRY_ASSIGN(const std::vector<std::uint16_t> owners, slots_by_owner(record, next.owners));
  MemberBits alive(entries.first.size());
  for (std::size_t i = 0; i < alive.size(); ++i) {
    alive[i] = (entries.first[i].flags & LB_RS_UP) != 0;
  }
  SlotPlan plan;
  if (record.table() == nullptr || !record.kept->started) {
    plan = SlotPlan(owners);
  } else if (auto last = SlotPlan::read(*record.table())) {
    plan = std::move(*last);
    if (record.stay) plan.clear_exceptions(*record.stay);
    plan.except(record.doubtful);
    if (plan.slots() != next.owners.slots) plan = plan.resized(next.owners.slots);
    if (record.kept->use != next.use) plan.except_all();
  } else {
    spdlog::error("{}: its last table cannot be read, its slots start anew: {}",
                  need.service.address.to_string(), last.error().message);
    plan = SlotPlan(owners);
    plan.except_all();
  }
  plan.close_due(now_s_);
  plan.advance({.owners = owners, .alive = alive, .now_s = now_s_, .window_s = need.window_s});
  if (next.use.remembers != Remembers::Changes) plan.clear_exceptions({});
  return plan;
}

void TableKeeper::begin(std::uint32_t now_s) {
  now_s_ = now_s;
  ++builds_;
  arrays_.clear();
  for (auto& [address, record] : records_) {
    if (!record.pending) continue;
    const auto refused = std::exchange(record.pending, std::nullopt)->table;
    if (record.table() == nullptr || !refused) continue;
    auto last = SlotPlan::read(*record.table());
    auto other = SlotPlan::read(*refused);
    if (!last || !other) continue;
    SlotBits differs = last->differs_from(*other);
    record.doubtful.resize(differs.size());
    for (std::size_t i = 0; i < differs.size(); ++i) {
      if (differs[i]) record.doubtful[i] = true;
    }
  }
}

Result<std::shared_ptr<const TableObject>> TableKeeper::table_of(const Need& need) {
  const Service& service = need.service;
  Record& record = records_[service.address];
  if (record.kept && record.kept->id != service.id) record = {};
  record.asked_by = builds_;
  Kept next{.id = service.id,
            .hash_key = service.hash_key,
            .use = use_of(service),
            .members = {},
            .owners = {},
            .table = nullptr,
            .deadline_s = std::nullopt,
            .started = !need.starting || (record.kept && record.kept->started)};
  if (need.real_servers.empty() && need.sorry == nullptr) {
    if (record.table() != nullptr) record.pending = std::move(next);
    return std::shared_ptr<const TableObject>{};
  }
  next.members = members_of(need, record.kept ? &*record.kept : nullptr);
  const std::uint32_t end = one_past(next.members);
  if (next.members.size() >= LB_SLOT_NOBODY || end > LB_SLOT_NOBODY) {
    return fail(E2BIG, fmt::format("{}: {} real servers are too many for one service",
                                   service.address.to_string(), next.members.size()));
  }
  next.owners = owners_of(need, next.members, slots_of(need, end, record.table()));
  const Entries entries = entries_of(need, next.members);
  if (is_same(need, record, next, entries)) {
    record.kept->started = next.started;
    return record.kept->table;
  }

  auto plan = plan_of(need, record, next, entries);
  if (!plan) return fail_in(service.address.to_string(), std::move(plan).error());
  LB_TRY_ASSIGN(const std::shared_ptr<TableObject> table, memory_.make(plan->slots(), end));
  plan->write(*table);
  table->head().members = end;
  table->head().service_id = raw(service.id);
  std::ranges::copy(entries.first, table->members().begin());
  std::ranges::copy(entries.second, table->names().begin());
  next.deadline_s = plan->next_deadline_s();
  next.table = table;
  record.pending = std::move(next);
  return record.pending->table;
}

void TableKeeper::commit() {
  std::erase_if(records_, [&](const auto& one) { return one.second.asked_by != builds_; });
  arrays_.clear();
  for (auto& [address, record] : records_) {
    if (!record.pending) continue;
    record = Record{.kept = std::move(record.pending),
                    .pending = std::nullopt,
                    .asked_by = record.asked_by,
                    .doubtful = {},
                    .scanned = nullptr,
                    .disagree = {},
                    .stay = std::nullopt};
  }
}

Status TableKeeper::adopt(const Service& service, std::shared_ptr<const TableObject> table) {
  LB_TRY_ASSIGN(const SlotPlan plan, SlotPlan::read(*table));
  Kept kept{.id = service.id,
            .hash_key = service.hash_key,
            .use = use_of(service),
            .members = {},
            .owners = {},
            .table = std::move(table),
            .deadline_s = plan.next_deadline_s()};
  const std::uint32_t members = members_in(*kept.table);
  for (std::uint32_t i = 0; i < members; ++i) {
    if (kept.table->member(i).id == 0) continue;
    const lb_rs_name& name = kept.table->name(i);
    const Member member{address_of(name), name.sorry != 0};
    if (!kept.members.emplace(member, static_cast<std::uint16_t>(i)).second) {
      return fail(EINVAL,
                  fmt::format("{} is twice a member of a table", member.address.to_string()));
    }
  }
  records_[service.address] = Record{.kept = std::move(kept),
                                     .pending = std::nullopt,
                                     .asked_by = builds_,
                                     .doubtful = {},
                                     .scanned = nullptr,
                                     .disagree = {},
                                     .stay = std::nullopt};
  return {};
}

std::vector<TableKeeper::Named> TableKeeper::named(const TableObject& table) {
  std::vector<Named> all;
  const std::uint32_t members = members_in(table);
  for (std::uint32_t i = 0; i < members; ++i) {
    const lb_rs_entry entry = table.member(i);
    if (entry.id == 0) continue;
    const lb_rs_name& name = table.name(i);
    Named one{.id = static_cast<RsId>(entry.id),
              .address = address_of(name),
              .sorry = name.sorry != 0,
              .up = (entry.flags & LB_RS_UP) != 0,
              .vlan = entry.vlan,
              .mac = std::nullopt};
    if ((entry.flags & LB_RS_HAS_MAC) != 0) {
      std::ranges::copy_n(entry.macs, 6, one.mac.emplace().bytes.begin());
    }
    all.push_back(one);
  }
  return all;
}

std::optional<std::uint32_t> TableKeeper::next_deadline_s() const {
  std::optional<std::uint32_t> next;
  for (const auto& [address, record] : records_) {
    if (!record.kept || !record.kept->deadline_s) continue;
    next = std::min(next.value_or(~0U), *record.kept->deadline_s);
  }
  return next;
}

bool TableKeeper::has_exceptions() const {
  return std::ranges::any_of(records_, [](const auto& one) {
    const TableObject* table = one.second.table();
    return table != nullptr && table->head().exception_slots != 0;
  });
}

bool TableKeeper::is_old(const ServiceAddr& service, RsId rs) const {
  const auto at = records_.find(service);
  if (at == records_.end() || at->second.table() == nullptr) return false;
  const TableObject& table = *at->second.table();
  if (at->second.kept->use.remembers != Remembers::Changes || table.head().open_slots == 0) {
    return false;
  }
  std::uint32_t member = 0;
  while (member < table.head().members && table.member(member).id != raw(rs)) ++member;
  if (member == table.head().members) return false;
  for (std::uint32_t i = 0; i < table.head().slots; ++i) {
    const std::uint32_t state = table.state(i);
    if ((state & LB_STATE_OPEN) != 0 && (state & LB_STATE_OLD) == member) return true;
  }
  return false;
}

ExceptionScan TableKeeper::scan(const lb_hash_key& flow_key) const {
  ExceptionScan scan(flow_key);
  for (const auto& [address, record] : records_) {
    if (record.table() == nullptr || record.table()->head().exception_slots == 0) continue;
    const Kept& kept = *record.kept;
    scan.add(kept.id, kept.use.hash, kept.hash_key, kept.table);
  }
  return scan;
}

bool TableKeeper::take(const ExceptionScan& scan) {
  bool any = false;
  for (auto& [address, record] : records_) {
    if (record.table() == nullptr) continue;
    const auto at = scan.services().find(record.kept->id);
    if (at == scan.services().end() || at->second.table != record.kept->table) continue;
    const ExceptionScan::Seen& seen = at->second;
    if (record.scanned == seen.table) {
      SlotBits stay = seen.disagree;
      bool ends = false;
      for (std::uint32_t i = 0; i < stay.size(); ++i) {
        stay[i] = stay[i] || record.disagree[i];
        const bool exception =
            (seen.table->hot(i) & LB_SLOT_ASK) != 0 && (seen.table->state(i) & LB_STATE_OPEN) == 0;
        ends = ends || (exception && !stay[i]);
      }
      if (ends) record.stay = std::move(stay);
      any = any || ends;
    }
    record.scanned = seen.table;
    record.disagree = seen.disagree;
  }
  return any;
}

}  // namespace lb
