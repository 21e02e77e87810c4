// SPDX-License-Identifier: Apache-2.0
// SlotModel: the transitions of slots as a slow and obvious list, to compare SlotPlan with. It also
// knows one rule that Sluice does not follow, so that a test can show what that would break.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dataplane/table/slot_plan.h"

namespace lb {

class SlotModel {
 public:
  enum class Old : std::uint8_t {
    Kept,         ///< from the first change on, while the slot is open
    Overwritten,  ///< by each change: wrong
  };
  SlotModel(std::vector<std::uint16_t> owners, Old rule) : slots_(owners.size()), rule_(rule) {
    for (std::size_t i = 0; i < owners.size(); ++i) slots_[i].owner = owners[i];
  }

  void advance(const SlotPlan::Change& change) {
    for (std::size_t i = 0; i < slots_.size(); ++i) advance(slots_[i], change.owners[i], change);
  }
  void close_due(std::uint32_t now_s) {
    for (SlotPlan::Slot& slot : slots_) {
      if (slot.open && slot.deadline_s <= now_s) close(slot);
    }
  }
  void clear_exceptions(const SlotBits& disagree) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (!disagree[i]) slots_[i].exceptions = false;
    }
  }
  [[nodiscard]] std::uint32_t slots() const { return static_cast<std::uint32_t>(slots_.size()); }
  [[nodiscard]] SlotPlan::Slot slot(std::uint32_t index) const { return slots_[index]; }

 private:
  static bool alive(const SlotPlan::Change& change, std::uint16_t member) {
    return member < change.alive.size() && change.alive[member];
  }
  static void close(SlotPlan::Slot& slot) { slot = {.owner = slot.owner, .exceptions = true}; }
  void advance(SlotPlan::Slot& slot, std::uint16_t owner, const SlotPlan::Change& change) const {
    if (slot.open && !alive(change, slot.old)) close(slot);
    if (slot.owner == owner) return;
    if (!slot.open && alive(change, slot.owner)) {
      slot = {.owner = owner,
              .old = slot.owner,
              .open = true,
              .deadline_s = change.now_s + change.window_s};
    } else if (slot.open && rule_ == Old::Overwritten && alive(change, slot.owner)) {
      slot.old = slot.owner;
    }
    slot.owner = owner;
  }
  std::vector<SlotPlan::Slot> slots_;
  Old rule_;
};

}  // namespace lb
