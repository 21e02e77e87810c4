// SPDX-License-Identifier: Apache-2.0
#include "control/slot_shares.h"

#include <algorithm>
#include <tuple>

namespace lb {
namespace {

IpAddr address_of(const lb_rs_name& name) {
  if (name.family == 6) return IpAddr::v6(name.addr);
  return IpAddr::v4(Be32::load(name.addr));
}

SlotShare member_of(const lb_rs_entry& entry, const lb_rs_name& name) {
  SlotShare share;
  share.address = address_of(name);
  share.sorry = name.sorry != 0;
  share.up = (entry.flags & LB_RS_UP) != 0;
  share.drains = (entry.flags & LB_RS_DRAINS) != 0;
  share.weight = name.weight;
  return share;
}

bool takes_new_flows(const SlotShare& share) {
  return share.up && !share.drains && !share.sorry && share.weight > 0;
}

/// One pass over the slots; `members` by member index.
void count_slots(const TableObject& table, std::uint32_t slots, std::uint32_t boot_s,
                 std::vector<SlotShare>& members, SlotShares& sums) {
  auto member = [&](std::uint32_t index) {
    return index < members.size() ? &members[index] : nullptr;
  };
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const std::uint32_t word = table.hot(slot);
    SlotShare* owner = member(word & LB_SLOT_OWNER);
    if (owner != nullptr) {
      ++owner->slots;
    } else {
      ++sums.unowned;
    }
    if ((word & LB_SLOT_ASK) == 0) continue;
    const std::uint32_t state = table.state(slot);
    if ((state & LB_STATE_EXCEPTIONS) != 0) {
      ++sums.exceptions;
      if (owner != nullptr) ++owner->exceptions;
    }
    if ((state & LB_STATE_OPEN) == 0) continue;
    ++sums.open;
    SlotShare* old = member(state & LB_STATE_OLD);
    if (old != owner) {
      if (owner != nullptr) ++owner->gained;
      if (old != nullptr) ++old->leaving;
    }
    const std::uint32_t deadline =
        table.head().deadline_s[state >> LB_STATE_DEADLINE_SHIFT & LB_STATE_DEADLINE];
    const std::uint32_t left = deadline > boot_s ? deadline - boot_s : 0;
    sums.first_s = std::min(sums.first_s.value_or(left), left);
    sums.last_s = std::max(sums.last_s.value_or(left), left);
  }
}

void set_percents(std::vector<SlotShare>& members, std::uint32_t slots) {
  std::uint64_t weights = 0;
  for (const SlotShare& share : members) weights += takes_new_flows(share) ? share.weight : 0;
  for (SlotShare& share : members) {
    if (slots > 0) share.percent = 100.0 * share.slots / slots;
    if (weights == 0) {
      share.percent_wanted = share.sorry ? 100 : 0;
    } else if (takes_new_flows(share)) {
      share.percent_wanted = 100.0 * share.weight / static_cast<double>(weights);
    }
  }
}

}  // namespace

SlotShares slot_shares(const TableObject& table, std::uint32_t boot_s) {
  const lb_table_head& head = table.head();
  SlotShares sums;
  sums.slots = std::min(head.slots, table.room().slots);
  const std::uint32_t count = std::min(head.members, table.room().members);
  std::vector<SlotShare> by_index;
  by_index.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    by_index.push_back(member_of(table.member(i), table.name(i)));
  }
  count_slots(table, sums.slots, boot_s, by_index, sums);
  set_percents(by_index, sums.slots);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (table.member(i).place != 0) sums.members.push_back(by_index[i]);
  }
  std::ranges::sort(sums.members, {},
                    [](const SlotShare& share) { return std::tuple(share.sorry, share.address); });
  return sums;
}

SlotTables::SlotTables(const ServiceTable& published) {
  for (const Service& service : published.services()) {
    const std::uint32_t slot = slot_of(service.id);
    if (slot >= by_slot_.size()) by_slot_.resize(slot + 1);
    by_slot_[slot] = {service.id, service.table};
  }
}

std::shared_ptr<const TableObject> SlotTables::find(ServiceId id) const {
  const std::uint32_t slot = slot_of(id);
  if (slot >= by_slot_.size() || by_slot_[slot].id != id) return nullptr;
  return by_slot_[slot].table;
}

}  // namespace lb
