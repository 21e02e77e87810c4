// SPDX-License-Identifier: Apache-2.0
#include "control/dampener.h"

namespace lb {

bool Dampener::result(bool passed, std::uint64_t now_ms) {
  Health says = passed ? Health::Up : Health::Down;
  if (health_ == says) {
    streak_ = 0;
    return false;
  }
  bool first = health_ != Health::Up && health_ != Health::Down;
  ++streak_;
  if (!first && streak_ < (passed ? rise_ : fall_)) return false;
  health_ = says;
  streak_ = 0;
  changed_ms_ = now_ms;
  return true;
}

void Dampener::configure(std::uint32_t rise, std::uint32_t fall) {
  rise_ = rise;
  fall_ = fall;
}

}  // namespace lb
