// SPDX-License-Identifier: Apache-2.0
#include "control/slot_pool.h"

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

void SlotPool::roll_back(SlotPool before) noexcept {
  LB_ASSERT(before.fresh_ <= fresh_);
  free_.swap(before.free_);
  fresh_ = before.fresh_;
  used_ = before.used_;
}

}  // namespace lb
