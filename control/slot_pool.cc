// SPDX-License-Identifier: Apache-2.0
#include "control/slot_pool.h"

#include "dataplane/base/assert.h"
#include "dataplane/table/service_table.h"

namespace lb {

std::uint32_t SlotPool::take() {
  if (incarnations_.size() < max_) {
    auto slot = static_cast<std::uint32_t>(incarnations_.size());
    incarnations_.push_back(1);
    ++used_;
    return slot | 1U << kSlotBits;
  }
  if (free_.empty()) return 0;
  std::uint32_t slot = free_.front();
  free_.pop_front();
  std::uint16_t& incarnation = incarnations_[slot];
  if (++incarnation == 0) incarnation = 1;  // id 0 is none
  ++used_;
  return slot | static_cast<std::uint32_t>(incarnation) << kSlotBits;
}

void SlotPool::give_back(std::uint32_t slot) {
  LB_ASSERT(slot < incarnations_.size() && used_ > 0);
  --used_;
  free_.push_back(slot);
}

}  // namespace lb
