// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/budget.h"

#include <algorithm>
#include <cmath>

namespace lb::observe {
namespace {

constexpr double kQuietShare = 0.25;  // of the budget: one level narrower costs twice as much
constexpr double kQuietS = 5;
constexpr double kTrapShare = 0.9;  // of the budget: what is left would buy no block
constexpr double kPauseS = 1;       // at least: taking probes off and on costs, too
constexpr std::uint32_t kLevelsAtOnce = 4;

}  // namespace

Budget::Step Budget::next(double seconds, Cost cost) {
  const double total = cost.traps + cost.programs;
  observed_s_ += seconds;
  spent_ += total * seconds;
  quiet_s_ = total < kQuietShare * percent_ ? quiet_s_ + seconds : 0;
  if (total <= percent_) {
    if (quiet_s_ < kQuietS || level_ == 0) return {Act::Keep, level_};
    quiet_s_ = 0;
    return {Act::Level, --level_};
  }
  if (cost.traps < kTrapShare * percent_ && level_ < level_max_) {
    const double wanted = std::ceil(std::log2(cost.programs / (percent_ - cost.traps)));
    const auto levels =
        static_cast<std::uint32_t>(std::clamp(wanted, 1.0, static_cast<double>(kLevelsAtOnce)));
    level_ = std::min(level_max_, level_ + levels);
    return {Act::Level, level_};
  }
  const double pause_s = std::max(kPauseS, spent_ / percent_ - observed_s_);
  observed_s_ = 0;
  spent_ = 0;
  return {Act::Pause, level_, pause_s};
}

}  // namespace lb::observe
