// SPDX-License-Identifier: Apache-2.0
#include "control/table_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ranges>
#include <set>
#include <tuple>

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
  const std::uint32_t slots = table_slots(need.service.scheduler, need.mh_slots, members);
  if (is_hashed(need.service.scheduler)) return slots;
  // One that was hashed keeps its slots, and with them the way of flows that nobody remembers.
  return before != nullptr ? std::max(slots, before->head().slots) : slots;
}

lb_rs_entry entry_of(const RealServer& rs, std::uint16_t index, std::span<const EgressPort> ports) {
  lb_rs_entry entry{};
  entry.place = index + 1U;
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

void add_bits(SlotBits& to, const SlotBits& more) {
  if (to.size() < more.size()) to.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i) {
    if (more[i]) to[i] = true;
  }
}

/// The indices in `table` of the members of `other`, by theirs; who is none has one of his own.
std::vector<std::uint16_t> indices_in(const TableObject& table, const TableObject& other) {
  std::map<std::pair<IpAddr, bool>, std::uint16_t> known;
  const std::uint32_t members = members_in(table);
  for (std::uint32_t i = 0; i < members; ++i) {
    if (table.member(i).place == 0) continue;
    known[{address_of(table.name(i)), table.name(i).sorry != 0}] = static_cast<std::uint16_t>(i);
  }
  std::vector<std::uint16_t> to;
  for (std::uint32_t i = 0; i < members_in(other); ++i) {
    const auto at = known.find({address_of(other.name(i)), other.name(i).sorry != 0});
    to.push_back(at != known.end() ? at->second
                                   : std::min<std::uint16_t>(members + i, LB_SLOT_NOBODY - 1));
  }
  return to;
}

/// Where workers may have decided by `refused`, on top of `before` (null: nowhere); null: nowhere.
std::shared_ptr<const SlotBits> doubts(const TableObject& last, const TableObject& refused,
                                       const SlotBits* before) {
  SlotBits bits;
  if (before != nullptr) bits = *before;
  auto one = SlotPlan::read(last);
  auto other = SlotPlan::read(refused);
  if (one && other) {
    other->renumber(indices_in(last, refused));
    add_bits(bits, one->differs_from(*other));
  }
  if (std::ranges::find(bits, true) == bits.end()) return nullptr;
  return std::make_shared<const SlotBits>(std::move(bits));
}

/// Whether a closed slot with exceptions is none of these.
bool has_exception_beyond(const TableObject& table, const SlotBits& bits) {
  for (std::uint32_t i = 0; i < bits.size(); ++i) {
    if (bits[i] || (table.hot(i) & LB_SLOT_ASK) == 0) continue;
    if ((table.state(i) & LB_STATE_OPEN) == 0) return true;
  }
  return false;
}

bool is_steady(const TableObject& table) {
  return table.head().open_slots == 0 && table.head().exception_slots == 0;
}

/// When the next of its open slots has to close.
std::optional<std::uint32_t> next_deadline_of(const TableObject& table) {
  std::optional<std::uint32_t> next;
  for (std::uint32_t deadline : table.head().deadline_s) {
    if (deadline != 0) next = std::min(next.value_or(deadline), deadline);
  }
  return next;
}

std::uint16_t one_past(const auto& members) {
  std::uint16_t end = 0;
  for (const auto& [member, index] : members) end = std::max<std::uint16_t>(end, index + 1);
  return end;
}

}  // namespace

std::uint32_t table_slots(Scheduler scheduler, std::uint32_t mh_slots, std::uint32_t members) {
  if (is_hashed(scheduler)) return mh_slots;
  if (members > kSlotsMany) return kMaglevSlotsDefault;
  return members <= LB_TABLE_MEMBERS0 ? kSlotsFew : kSlotsMany;
}

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

std::vector<RsId> TableKeeper::ids_of(const Need& need, const Members& members) {
  std::vector<RsId> ids(one_past(members), RsId::None);
  for (const RealServer& rs : need.real_servers) ids[members.at({rs.address, false})] = rs.id;
  if (need.sorry != nullptr) ids[members.at({need.sorry->address, true})] = need.sorry->id;
  return ids;
}

TableKeeper::Entries TableKeeper::entries_of(const Need& need, const Members& members) {
  Entries entries;
  entries.first.resize(one_past(members));
  entries.second.resize(one_past(members));
  auto fill = [&](const RealServer& rs, bool sorry) {
    const std::uint16_t index = members.at({rs.address, sorry});
    entries.first[index] = entry_of(rs, index, need.ports);
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
bool TableKeeper::is_same(const Need& need, const Record& record, const Kept& next) const {
  const TableObject* table = record.table();
  if (table == nullptr || record.doubtful || record.stay) return false;
  const Kept& kept = *record.kept;
  const bool due = kept.deadline_s && *kept.deadline_s <= now_s_;
  return !due && kept.use == next.use && kept.owners == next.owners &&
         kept.hash_key == next.hash_key && table->head().window_s == need.window_s &&
         same_entries(*table, entries_of(need, next.members));
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
    if (record.doubtful) plan.except(*record.doubtful);
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
  shared_.begin(now_s);
  using Bits = std::shared_ptr<const SlotBits>;
  std::map<std::tuple<const TableObject*, const TableObject*, Bits>, Bits> known;
  for (auto& [address, record] : records_) {
    if (!record.pending) continue;
    const auto refused = std::exchange(record.pending, std::nullopt)->table;
    if (record.table() == nullptr || !refused || refused == record.kept->table) continue;
    const auto [at, fresh] = known.try_emplace({record.table(), refused.get(), record.doubtful});
    if (fresh) at->second = doubts(*record.table(), *refused, record.doubtful.get());
    record.doubtful = at->second;
  }
}

/// What a table says, but for its slots. (Their owners are those of the members that take new
/// flows.)
std::string TableKeeper::content_of(const Need& need, const Kept& next, const Entries& entries) {
  std::string content;
  content += bytes_of(next.owners.slots);
  content += bytes_of(need.window_s);
  for (const lb_rs_entry& entry : entries.first) content += bytes_of(entry);
  for (const lb_rs_name& name : entries.second) content += bytes_of(name);
  return content;
}

TableRecipe TableKeeper::recipe_of(const Need& need, const Record& record, const Kept& next,
                                   const Entries& entries) {
  TableRecipe recipe;
  if (record.kept) {
    recipe = {.from = record.kept->table,
              .doubtful = record.doubtful,
              .stay = record.stay,
              .steps = {},
              .content = {}};
    recipe.steps += record.kept->started ? 's' : '-';
    recipe.steps += static_cast<char>(record.kept->use.remembers);
    recipe.steps += static_cast<char>(record.kept->use.hash);
  }
  recipe.steps += static_cast<char>(next.use.remembers);
  recipe.steps += static_cast<char>(next.use.hash);
  recipe.content = content_of(need, next, entries);
  return recipe;
}

/// The members stand in their order from here on. Where each went, by its index before.
std::vector<std::uint16_t> TableKeeper::put_in_order(const Need& need, Kept& next) {
  std::vector<std::uint16_t> moved(one_past(next.members), LB_SLOT_NOBODY);
  std::uint16_t end = 0;
  for (auto& [member, index] : next.members) {
    moved[index] = end;
    index = end++;
  }
  next.ids = ids_of(need, next.members);
  next.owners = owners_of(need, next.members, next.owners.slots);
  return moved;
}

/// The table that comes next: one that another service has already, or a new one. The members of a
/// steady table stand in order, so that it does not matter how a service has come there.
Status TableKeeper::make_table(const Need& need, const Record& record, Kept& next) {
  Entries entries = entries_of(need, next.members);
  TableRecipe recipe = recipe_of(need, record, next, entries);
  next.table = shared_.find(recipe);
  if (next.table) {
    if (is_steady(*next.table)) put_in_order(need, next);
    next.deadline_s = next_deadline_of(*next.table);
    return {};
  }
  auto plan = plan_of(need, record, next, entries);
  if (!plan) return fail_in(need.service.address.to_string(), std::move(plan).error());
  next.deadline_s = plan->next_deadline_s();
  if (plan->open_slots() == 0 && plan->exception_slots() == 0) {
    plan->renumber(put_in_order(need, next));
    entries = entries_of(need, next.members);
    const std::string content = content_of(need, next, entries);
    next.table = shared_.find_steady(content);
    if (!next.table) {
      LB_TRY_ASSIGN(next.table, written(*plan, entries));
    }
    shared_.add_steady(content, next.table);
  } else {
    LB_TRY_ASSIGN(next.table, written(*plan, entries));
  }
  shared_.add(std::move(recipe), next.table);
  return {};
}

Result<std::shared_ptr<const TableObject>> TableKeeper::written(const SlotPlan& plan,
                                                                const Entries& entries) {
  const auto members = static_cast<std::uint32_t>(entries.first.size());
  LB_TRY_ASSIGN(std::shared_ptr<TableObject> table, memory_.make(plan.slots(), members));
  plan.write(*table);
  table->head().members = members;
  std::ranges::copy(entries.first, table->members().begin());
  std::ranges::copy(entries.second, table->names().begin());
  return table;
}

Status TableKeeper::give_table(const Need& need) {
  Service& service = need.service;
  Record& record = records_[service.address];
  if (record.kept && record.kept->id != service.id) record = {};
  record.asked_by = builds_;
  service.table = nullptr;
  service.members.clear();
  Kept next{.id = service.id,
            .hash_key = service.hash_key,
            .use = use_of(service),
            .members = {},
            .ids = {},
            .owners = {},
            .table = nullptr,
            .deadline_s = std::nullopt,
            .started = !need.starting || (record.kept && record.kept->started)};
  if (need.real_servers.empty() && need.sorry == nullptr) {
    if (record.table() != nullptr) record.pending = std::move(next);
    return {};
  }
  next.members = members_of(need, record.kept ? &*record.kept : nullptr);
  const std::uint32_t end = one_past(next.members);
  if (next.members.size() >= LB_SLOT_NOBODY || end > LB_SLOT_NOBODY) {
    return fail(E2BIG, fmt::format("{}: {} real servers are too many for one service",
                                   service.address.to_string(), next.members.size()));
  }
  next.ids = ids_of(need, next.members);
  next.owners = owners_of(need, next.members, slots_of(need, end, record.table()));
  if (is_same(need, record, next)) {
    record.kept->started = next.started;
    service.table = record.kept->table;
    service.members = next.ids;
    if (record.kept->ids == next.ids) return {};
    record.pending = record.kept;
    record.pending->ids = std::move(next.ids);
    return {};
  }
  LB_TRY(make_table(need, record, next));
  service.table = next.table;
  service.members = next.ids;
  record.pending = std::move(next);
  return {};
}

void TableKeeper::commit() {
  std::erase_if(records_, [&](const auto& one) { return one.second.asked_by != builds_; });
  arrays_.clear();
  shared_.end();
  std::set<const TableObject*> kept;
  for (auto& [address, record] : records_) {
    if (record.pending) {
      record = Record{.kept = std::move(record.pending),
                      .pending = std::nullopt,
                      .asked_by = record.asked_by,
                      .doubtful = nullptr,
                      .stay = nullptr};
    }
    kept.insert(record.table());
  }
  std::erase_if(walked_, [&](const auto& one) { return !kept.contains(one.first.get()); });
}

Status TableKeeper::adopt(const Service& service) {
  LB_TRY_ASSIGN(const SlotPlan plan, SlotPlan::read(*service.table));
  Kept kept{.id = service.id,
            .hash_key = service.hash_key,
            .use = use_of(service),
            .members = {},
            .ids = service.members,
            .owners = {},
            .table = service.table,
            .deadline_s = plan.next_deadline_s()};
  const std::uint32_t members = members_in(*kept.table);
  kept.ids.resize(members);
  for (std::uint32_t i = 0; i < members; ++i) {
    if (kept.table->member(i).place == 0) continue;
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
                                     .doubtful = nullptr,
                                     .stay = nullptr};
  return {};
}

std::vector<TableKeeper::Named> TableKeeper::named(const TableObject& table,
                                                   std::span<const RsId> members) {
  std::vector<Named> all;
  const std::size_t count = std::min<std::size_t>(members_in(table), members.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    const lb_rs_entry entry = table.member(i);
    if (entry.place == 0 || members[i] == RsId::None) continue;
    const lb_rs_name& name = table.name(i);
    Named one{.id = members[i],
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
  const std::vector<RsId>& ids = at->second.kept->ids;
  const auto member = static_cast<std::uint32_t>(std::ranges::find(ids, rs) - ids.begin());
  if (member == ids.size()) return false;
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
    scan.add(kept.id, kept.use.hash, kept.hash_key, kept.table, kept.ids);
  }
  return scan;
}

bool TableKeeper::take(const ExceptionScan& scan) {
  std::map<std::shared_ptr<const TableObject>, Walk> now;
  std::set<std::shared_ptr<const TableObject>>
      unseen;  // a service has it by now that was not asked
  for (const auto& [address, record] : records_) {
    if (record.table() == nullptr) continue;
    const auto at = scan.services().find(record.kept->id);
    if (at == scan.services().end() || at->second.table != record.kept->table) {
      unseen.insert(record.kept->table);
      continue;
    }
    Walk& walk = now[record.kept->table];
    add_bits(walk.disagree, at->second.disagree);
    walk.services.insert(record.kept->id);
  }
  std::erase_if(now, [&](const auto& one) { return unseen.contains(one.first); });
  std::map<const TableObject*, std::shared_ptr<const SlotBits>> ends;
  for (const auto& [table, walk] : now) {
    const auto before = walked_.find(table);
    if (before == walked_.end() || !std::ranges::includes(before->second.services, walk.services)) {
      continue;
    }
    SlotBits stay = walk.disagree;
    add_bits(stay, before->second.disagree);
    if (has_exception_beyond(*table, stay)) {
      ends[table.get()] = std::make_shared<const SlotBits>(std::move(stay));
    }
  }
  walked_ = std::move(now);
  for (auto& [address, record] : records_) {
    const auto at = ends.find(record.table());
    if (at != ends.end()) record.stay = at->second;
  }
  return !ends.empty();
}

}  // namespace lb
