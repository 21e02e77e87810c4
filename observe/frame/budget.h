// SPDX-License-Identifier: Apache-2.0
// Budget: what --budget does next, from what the last second cost. Sampling widens first; where the
// traps alone cost too much, which no sampling makes cheaper, the tracer is off for so long that
// the average keeps to the budget. No clock, no kernel.
#pragma once

#include <cstdint>

namespace lb::observe {

class Budget {
 public:
  /// Percent of one CPU.
  struct Cost {
    double traps = 0;
    double programs = 0;
  };
  enum class Act : std::uint8_t { Keep, Level, Pause };
  struct Step {
    Act act = Act::Keep;
    std::uint32_t level = 0;  ///< the level from now on
    double pause_s = 0;       ///< Pause: for how long
  };

  /// REQUIRES: percent > 0.
  Budget(double percent, std::uint32_t level_max) : percent_(percent), level_max_(level_max) {}

  /// What to do after `seconds` that cost this. After a Pause the next call is for time that was
  /// observed again.
  [[nodiscard]] Step next(double seconds, Cost cost);
  [[nodiscard]] std::uint32_t level() const noexcept { return level_; }

 private:
  double percent_;
  std::uint32_t level_max_;
  std::uint32_t level_ = 0;
  double quiet_s_ = 0;     // since when it cost far less than it may
  double observed_s_ = 0;  // since the last pause
  double spent_ = 0;       // percent x seconds, since then
};

}  // namespace lb::observe
