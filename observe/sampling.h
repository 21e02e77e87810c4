// SPDX-License-Identifier: Apache-2.0
// From sampled blocks back to all of them: unbiased estimates and their 95 % intervals. The
// sampling is a Poisson process over bytes (bpf/observe_sample.h). Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "observe/report.h"

namespace lb::observe {

/// Blocks of one size that were taken at one sampling interval.
struct Sampled {
  double bytes = 0;     ///< of each block, > 0
  double interval = 0;  ///< bytes between two points of the process; 0: every block was taken
  double count = 0;     ///< taken; 0 tells that such blocks may be there
};

enum class Weigh : std::uint8_t { Blocks, Bytes };

/// Chance that a block is taken: 1 - exp(-bytes / interval); 1 when the interval is 0.
[[nodiscard]] double sample_chance(double bytes, double interval) noexcept;

/// The exact (Garwood 1936) 95 % interval of a Poisson mean of which `count` were seen: quantiles
/// of chi-squared. `count` need not be whole; value is `count`. 0 gives [0, 3.69].
[[nodiscard]] Value garwood(double count);

/// All blocks that these stand for, or their bytes. Blocks no larger than the interval: scaled
/// Poisson by the effective count (sum w)^2 / sum w^2 (Fay and Feuer 1997). Larger ones, which are
/// rarely left out: the same, with the variance that is left, w^2 (1 - chance). Both joined by
/// MOVER (Zou and Donner 2008). None taken: up to 3.69 intervals of bytes may be there. Exact when
/// all intervals are 0.
[[nodiscard]] Value estimate(std::span<const Sampled> blocks, Weigh weigh);

}  // namespace lb::observe
