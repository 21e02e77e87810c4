// SPDX-License-Identifier: Apache-2.0
#include "control/slot_pool.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/table/service_table.h"

namespace lb {

std::uint32_t SlotPool::take() {
  std::uint32_t slot = fresh_;
  if (fresh_ < incarnations_.size()) {
    ++fresh_;
  } else {
    if (free_.empty()) return 0;
    slot = free_.front();
    free_.pop_front();
  }
  std::uint16_t& incarnation = incarnations_[slot];
  if (++incarnation == 0) incarnation = 1;  // id 0 is none
  ++used_;
  return slot | static_cast<std::uint32_t>(incarnation) << kSlotBits;
}

void SlotPool::give_back(std::uint32_t slot) {
  LB_ASSERT(slot < fresh_ && used_ > 0);
  free_.push_back(slot);
  --used_;
}

bool SlotPool::claim(std::uint32_t id) {
  const std::uint32_t slot = id & ((1U << kSlotBits) - 1);
  if (slot >= incarnations_.size() || id >> kSlotBits == 0) return false;
  if (slot < fresh_) {
    const auto at = std::ranges::find(free_, slot);
    if (at == free_.end()) return false;
    free_.erase(at);
  } else {
    for (; fresh_ < slot; ++fresh_) free_.push_back(fresh_);
    ++fresh_;
  }
  saw(id);
  ++used_;
  return true;
}

void SlotPool::saw(std::uint32_t id) noexcept {
  const std::uint32_t slot = id & ((1U << kSlotBits) - 1);
  if (slot >= incarnations_.size()) return;
  incarnations_[slot] = std::max(incarnations_[slot], static_cast<std::uint16_t>(id >> kSlotBits));
}

void SlotPool::roll_back(SlotPool before) noexcept {
  LB_ASSERT(before.fresh_ <= fresh_);
  free_.swap(before.free_);
  fresh_ = before.fresh_;
  used_ = before.used_;
}

}  // namespace lb
