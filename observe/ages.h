// SPDX-License-Identifier: Apache-2.0
// How old what is outstanding is, in the classes that both leak tracers count blocks by. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "observe/report.h"

namespace lb::observe {

inline constexpr std::array<std::uint64_t, 4> kAgeLimits_ms = {1'000, 10'000, 60'000, 600'000};
inline constexpr std::size_t kAges = kAgeLimits_ms.size() + 1;

/// Below kAges.
[[nodiscard]] constexpr std::size_t age_class(std::uint64_t age_ms) {
  const auto* limit = std::ranges::upper_bound(kAgeLimits_ms, age_ms);
  return static_cast<std::size_t>(limit - kAgeLimits_ms.begin());
}

/// `measures` with one for each class behind them.
[[nodiscard]] inline std::vector<Measure> with_ages(std::vector<Measure> measures) {
  measures.insert(measures.end(),
                  {{"age_1s", Unit::Count, Kind::Level, "outstanding blocks younger than 1 s"},
                   {"age_10s", Unit::Count, Kind::Level, "from 1 s to 10 s old"},
                   {"age_1m", Unit::Count, Kind::Level, "from 10 s to 1 min old"},
                   {"age_10m", Unit::Count, Kind::Level, "from 1 min to 10 min old"},
                   {"age_older", Unit::Count, Kind::Level, "10 min old or older"}});
  return measures;
}

}  // namespace lb::observe
