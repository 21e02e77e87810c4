// SPDX-License-Identifier: Apache-2.0
// SlotPool: the slots of ServiceTable: who gets which, with which incarnation. Control's one
// thread.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace lb {

/// Gives slots and incarnations: unused slots first, then the ones longest free. Ids are never
/// reused until a slot has had 65535 owners.
class SlotPool {
 public:
  explicit SlotPool(std::uint32_t max) : max_(max) {}
  /// slot | incarnation << 16, or 0 when all are taken.
  [[nodiscard]] std::uint32_t take();
  void give_back(std::uint32_t slot);
  [[nodiscard]] std::uint32_t used() const { return used_; }
  [[nodiscard]] std::uint32_t max() const { return max_; }

 private:
  std::uint32_t max_;
  std::uint32_t used_ = 0;
  std::deque<std::uint32_t> free_;
  std::vector<std::uint16_t> incarnations_;
};

}  // namespace lb
