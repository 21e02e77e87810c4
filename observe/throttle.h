// SPDX-License-Identifier: Apache-2.0
// Throttle: how a tracer that samples is held to a budget (observe/frame/governor.h). An interface.
#pragma once

#include <cstdint>

#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

class Throttle {
 public:
  Throttle() = default;
  Throttle(const Throttle&) = delete;
  Throttle& operator=(const Throttle&) = delete;
  virtual ~Throttle() = default;

  /// Nanoseconds of CPU time that traps took since attach(): hits times what a hit of each site
  /// costs with an empty program. The programs' own time is not in it. Errors: errno of bpf(2).
  [[nodiscard]] virtual Result<double> traps_ns() const = 0;
  /// The sampling interval of blocks to come is what was asked for << level. Each block keeps the
  /// level that it was taken at.
  [[nodiscard]] virtual Status set_level(std::uint32_t level) = 0;
  /// The widest level.
  [[nodiscard]] virtual std::uint32_t level_max() const = 0;
  /// Takes off what costs. What is outstanding now is unsure from then on, since its frees are not
  /// seen; reports say so.
  virtual void pause() = 0;
  /// Puts it back. Errors: as of Tracer::attach().
  [[nodiscard]] virtual Status resume() = 0;
};

/// Says of the figures of what is outstanding, and of rates, that they are as of the pause that is
/// on.
void say_paused(Report& report);

}  // namespace lb::observe
