// SPDX-License-Identifier: Apache-2.0
// Transitions of slots. Every operation is a pass or two over all slots, tens of microseconds for
// 65,537 of them.
#include "dataplane/table/slot_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "dataplane/base/assert.h"

namespace lb {
namespace {

constexpr std::uint32_t kSteady = LB_SLOT_NOBODY;  // a state: no old, neither open nor exceptions

// Deadlines are exact while few are in use. Then a new one goes up to the next multiple of a part
// of the window, so that a slot waits that part longer and those in use suffice for ever.
constexpr std::uint32_t kWindowParts = 32;
constexpr std::uint32_t kExactDeadlines = 29;
static_assert(kExactDeadlines + kWindowParts + 2 <= LB_DEADLINES);

bool is_alive(const MemberBits& alive, std::uint32_t member) {
  return member < alive.size() && alive[member];
}

bool is_member(const TableObject& table, std::uint32_t members, std::uint32_t index) {
  return index < members && table.member(index).place != 0;
}

}  // namespace

SlotPlan::SlotPlan(std::vector<std::uint16_t> owners)
    : hot_(std::move(owners)), states_(hot_.size(), kSteady) {}

SlotPlan::Slot SlotPlan::slot(std::uint32_t index) const {
  Slot slot;
  slot.owner = hot_[index] & LB_SLOT_OWNER;
  slot.open = is_open(index);
  slot.exceptions = !slot.open && (hot_[index] & LB_SLOT_ASK) != 0;
  if (slot.open) {
    slot.old = static_cast<std::uint16_t>(states_[index] & LB_STATE_OLD);
    slot.deadline_s = deadline_s_[deadline_of(index)];
  }
  return slot;
}

void SlotPlan::close(std::size_t slot, bool exceptions) noexcept {
  --opened_[deadline_of(slot)];
  hot_[slot] &= LB_SLOT_OWNER;
  states_[slot] = kSteady;
  if (exceptions) except_one(slot);
}

void SlotPlan::except_one(std::size_t slot) noexcept {
  if ((hot_[slot] & LB_SLOT_ASK) != 0) return;
  hot_[slot] |= LB_SLOT_ASK;
  states_[slot] = LB_SLOT_NOBODY | LB_STATE_EXCEPTIONS;
}

void SlotPlan::advance(const Change& change) {
  LB_ASSERT(change.owners.size() == hot_.size());
  window_s_ = change.window_s;
  if (open_slots() != 0) {
    for (std::size_t i = 0; i < hot_.size(); ++i) {
      if (is_open(i) && !is_alive(change.alive, states_[i] & LB_STATE_OLD)) close(i, true);
    }
  }
  std::uint32_t deadline = kNone;
  for (std::size_t i = 0; i < hot_.size(); ++i) {
    const std::uint32_t owner = hot_[i] & LB_SLOT_OWNER;
    if (change.owners[i] == owner) [[likely]]
      continue;
    if (!is_open(i) && is_alive(change.alive, owner)) {
      // Before this slot has it: the deadlines in use may be merged.
      if (deadline == kNone) {
        const auto at = std::uint64_t{change.now_s} + change.window_s;
        deadline = deadline_index(static_cast<std::uint32_t>(std::min(at, std::uint64_t{~0U})));
      }
      ++opened_[deadline];
      states_[i] = owner | deadline << LB_STATE_DEADLINE_SHIFT | LB_STATE_OPEN;
      hot_[i] |= LB_SLOT_ASK;
    }
    hot_[i] = static_cast<std::uint16_t>(change.owners[i] | (hot_[i] & LB_SLOT_ASK));
  }
}

bool SlotPlan::close_due(std::uint32_t now_s, const SlotBits* disagree) {
  std::array<bool, LB_DEADLINES> due{};
  bool any = false;
  for (std::uint32_t i = 0; i < LB_DEADLINES; ++i) {
    due[i] = opened_[i] != 0 && deadline_s_[i] <= now_s;
    any = any || due[i];
  }
  if (!any) return false;
  for (std::size_t i = 0; i < hot_.size(); ++i) {
    if (!is_open(i) || !due[deadline_of(i)]) continue;
    close(i, disagree == nullptr || (i < disagree->size() && (*disagree)[i]));
  }
  return true;
}

bool SlotPlan::clear_exceptions(const SlotBits& disagree) {
  bool any = false;
  for (std::size_t i = 0; i < hot_.size(); ++i) {
    if ((hot_[i] & LB_SLOT_ASK) == 0 || is_open(i)) continue;
    if (i < disagree.size() && disagree[i]) continue;
    hot_[i] &= LB_SLOT_OWNER;
    states_[i] = kSteady;
    any = true;
  }
  return any;
}

void SlotPlan::except_all() {
  for (std::size_t i = 0; i < hot_.size(); ++i) except_one(i);
}

void SlotPlan::except(const SlotBits& which) {
  for (std::size_t i = 0; i < std::min(hot_.size(), which.size()); ++i) {
    if (which[i]) except_one(i);
  }
}

void SlotPlan::renumber(const std::vector<std::uint16_t>& to) {
  auto moved = [&](std::uint32_t member) -> std::uint32_t {
    return member == LB_SLOT_NOBODY ? member : to[member];
  };
  for (std::size_t i = 0; i < hot_.size(); ++i) {
    hot_[i] = static_cast<std::uint16_t>((hot_[i] & LB_SLOT_ASK) | moved(hot_[i] & LB_SLOT_OWNER));
    if (is_open(i)) states_[i] = (states_[i] & ~LB_STATE_OLD) | moved(states_[i] & LB_STATE_OLD);
  }
}

SlotBits SlotPlan::differs_from(const SlotPlan& other) const {
  SlotBits bits(hot_.size(), true);
  if (other.hot_.size() != hot_.size()) return bits;
  for (std::size_t i = 0; i < hot_.size(); ++i) {
    bits[i] = hot_[i] != other.hot_[i] ||
              (states_[i] & LB_STATE_OLD) != (other.states_[i] & LB_STATE_OLD);
  }
  return bits;
}

SlotPlan SlotPlan::resized(std::uint32_t slots) const {
  LB_ASSERT(!hot_.empty() && slots != 0);
  SlotPlan next;
  next.deadline_s_ = deadline_s_;
  next.window_s_ = window_s_;
  next.hot_.resize(slots);
  next.states_.resize(slots);
  const std::uint64_t had = hot_.size();
  for (std::uint64_t i = 0; i < slots; ++i) {
    const std::uint64_t middle = (2 * i + 1) * had / (2 * slots);
    next.hot_[i] = hot_[middle];
    next.states_[i] = states_[middle];
    if (is_open(middle)) ++next.opened_[deadline_of(middle)];
    const std::uint64_t last = ((i + 1) * had - 1) / slots;
    for (std::uint64_t at = i * had / slots; at <= last; ++at) {
      if ((hot_[at] & LB_SLOT_ASK) != 0) next.except_one(i);
    }
  }
  return next;
}

std::uint32_t SlotPlan::open_slots() const noexcept {
  return std::accumulate(opened_.begin(), opened_.end(), 0U);
}

std::uint32_t SlotPlan::exception_slots() const noexcept {
  const auto asks =
      std::ranges::count_if(hot_, [](std::uint16_t word) { return (word & LB_SLOT_ASK) != 0; });
  return static_cast<std::uint32_t>(asks) - open_slots();
}

std::optional<std::uint32_t> SlotPlan::next_deadline_s() const noexcept {
  std::optional<std::uint32_t> next;
  for (std::uint32_t i = 0; i < LB_DEADLINES; ++i) {
    if (opened_[i] != 0 && (!next || deadline_s_[i] < *next)) next = deadline_s_[i];
  }
  return next;
}

bool operator==(const SlotPlan& a, const SlotPlan& b) {
  if (a.slots() != b.slots() || a.window_s_ != b.window_s_) return false;
  for (std::uint32_t i = 0; i < a.slots(); ++i) {
    if (a.slot(i) != b.slot(i)) return false;  // deadlines by their time, not by their index
  }
  return true;
}

std::uint32_t SlotPlan::find_deadline(std::uint32_t deadline_s) const noexcept {
  std::uint32_t i = 0;
  while (i < LB_DEADLINES && (opened_[i] == 0 || deadline_s_[i] != deadline_s)) ++i;
  return i;
}

std::uint32_t SlotPlan::free_deadline() const noexcept {
  return static_cast<std::uint32_t>(std::ranges::find(opened_, 0U) - opened_.begin());
}

/// The index of this deadline or of a later one.
std::uint32_t SlotPlan::deadline_index(std::uint32_t deadline_s) {
  if (std::uint32_t known = find_deadline(deadline_s); known != kNone) return known;
  const auto used = LB_DEADLINES - std::ranges::count(opened_, 0U);
  if (used >= kExactDeadlines) {
    const std::uint64_t step = std::max(1U, window_s_ / kWindowParts);
    const std::uint64_t up = (deadline_s + step - 1) / step * step;
    deadline_s = static_cast<std::uint32_t>(std::min(up, std::uint64_t{~0U}));
    if (std::uint32_t known = find_deadline(deadline_s); known != kNone) return known;
  }
  if (used == LB_DEADLINES) {  // the window was changed time and again
    std::uint32_t later = kNone;
    for (std::uint32_t i = 0; i < LB_DEADLINES; ++i) {
      if (deadline_s_[i] < deadline_s) continue;
      if (later == kNone || deadline_s_[i] < deadline_s_[later]) later = i;
    }
    if (later != kNone) return later;
    merge_deadlines();
  }
  const std::uint32_t index = free_deadline();
  deadline_s_[index] = deadline_s;
  return index;
}

/// Two deadlines that are next to each other, of all such the closest ones, become the later one.
void SlotPlan::merge_deadlines() {
  std::array<std::uint32_t, LB_DEADLINES> order{};
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, {}, [this](std::uint32_t i) { return deadline_s_[i]; });
  std::size_t at = 0;
  auto gap = [&](std::size_t i) { return deadline_s_[order[i + 1]] - deadline_s_[order[i]]; };
  for (std::size_t i = 1; i + 1 < order.size(); ++i) {
    if (gap(i) < gap(at)) at = i;
  }
  const std::uint32_t from = order[at];
  const std::uint32_t to = order[at + 1];
  for (std::size_t i = 0; i < hot_.size(); ++i) {
    if (!is_open(i) || deadline_of(i) != from) continue;
    states_[i] = (states_[i] & LB_STATE_OLD) | to << LB_STATE_DEADLINE_SHIFT | LB_STATE_OPEN;
  }
  opened_[to] += std::exchange(opened_[from], 0);
}

void SlotPlan::write(TableObject& to) const {
  LB_ASSERT(to.room().slots >= slots());
  lb_table_head& head = to.head();
  head.slots = slots();
  head.open_slots = open_slots();
  head.exception_slots = exception_slots();
  head.window_s = window_s_;
  for (std::uint32_t i = 0; i < LB_DEADLINES; ++i) {
    head.deadline_s[i] = opened_[i] != 0 ? deadline_s_[i] : 0;
  }
  std::ranges::copy(hot_, to.hot_slots().begin());
  std::ranges::copy(states_, to.slot_states().begin());
}

Result<SlotPlan> SlotPlan::read(const TableObject& table) {
  const lb_table_head head = table.head();  // others may write to the memory: read once
  if (head.magic != LB_TABLE_MAGIC || head.version != LB_ABI_VERSION) {
    return fail(EINVAL, "a table of another version, or none");
  }
  if (head.slots == 0 || head.slots > table.room().slots || head.members > table.room().members ||
      head.members > LB_SLOT_NOBODY) {
    return fail(EINVAL,
                fmt::format("a table of {} slots and {} members, where {} and {} fit", head.slots,
                            head.members, table.room().slots, table.room().members));
  }
  SlotPlan plan;
  plan.window_s_ = head.window_s;
  std::ranges::copy(head.deadline_s, plan.deadline_s_.begin());
  plan.hot_.resize(head.slots);
  plan.states_.resize(head.slots, kSteady);
  for (std::uint32_t i = 0; i < head.slots; ++i) {
    if (!plan.read_slot(table, head.members, i)) {
      return fail(EINVAL, fmt::format("slot {} of a table names a member that is not there", i));
    }
  }
  return plan;
}

/// False: it names somebody who is no member.
bool SlotPlan::read_slot(const TableObject& table, std::uint32_t members, std::uint32_t slot) {
  const std::uint16_t word = table.hot(slot);
  const std::uint16_t owner = word & LB_SLOT_OWNER;
  if (owner != LB_SLOT_NOBODY && !is_member(table, members, owner)) return false;
  hot_[slot] = owner;
  if ((word & LB_SLOT_ASK) == 0) return true;
  const std::uint32_t state = table.state(slot);
  if ((state & LB_STATE_OPEN) == 0) {
    except_one(slot);
    return true;
  }
  const std::uint32_t old = state & LB_STATE_OLD;
  if (!is_member(table, members, old)) return false;
  hot_[slot] |= LB_SLOT_ASK;
  states_[slot] = old | (state & LB_STATE_DEADLINE << LB_STATE_DEADLINE_SHIFT) | LB_STATE_OPEN;
  ++opened_[deadline_of(slot)];
  return true;
}

}  // namespace lb
