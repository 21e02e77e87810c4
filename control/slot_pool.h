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
  explicit SlotPool(std::uint32_t max) : incarnations_(max) {}
  /// slot | incarnation << 16, or 0 when all are taken.
  [[nodiscard]] std::uint32_t take();
  void give_back(std::uint32_t slot);
  /// The slot of an id that an earlier run gave is taken, under this id. False, and nothing done,
  /// when it is out of range or taken already.
  [[nodiscard]] bool claim(std::uint32_t id);
  /// Something may still name this id of an earlier run: it is not given again.
  void saw(std::uint32_t id) noexcept;
  /// Takes and gives back whatever happened since `before` was copied; the incarnations stay, so
  /// that no id given meanwhile is given again: workers may have stored flows under it.
  void roll_back(SlotPool before) noexcept;
  [[nodiscard]] std::uint32_t used() const { return used_; }
  [[nodiscard]] std::uint32_t max() const {
    return static_cast<std::uint32_t>(incarnations_.size());
  }

 private:
  std::uint32_t used_ = 0;
  std::uint32_t fresh_ = 0;         // from here on no slot was ever given
  std::deque<std::uint32_t> free_;  // given back, the longest free one first
  std::vector<std::uint16_t> incarnations_;
};

}  // namespace lb
