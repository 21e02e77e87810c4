// SPDX-License-Identifier: Apache-2.0
// Governor: holds a tracer to --budget. Each second it measures what the tracer cost and does what
// Budget says. One thread, the loop's.
#pragma once

#include <cstdint>

#include "dataplane/base/result.h"
#include "observe/frame/budget.h"
#include "observe/frame/cost.h"
#include "observe/throttle.h"

namespace lb::observe {

class Governor {
 public:
  /// `throttle` and `cost` live as long as this. The tracer is attached.
  Governor(Throttle& throttle, CostMeter& cost, double percent, std::uint64_t now_ns)
      : throttle_(&throttle),
        cost_(&cost),
        percent_(percent),
        budget_(percent, throttle.level_max()),
        start_ns_(now_ns),
        last_ns_(now_ns) {}

  /// Call at least as often as wait_ms() says. Errors: of the Throttle.
  [[nodiscard]] Status tick(std::uint64_t now_ns);
  [[nodiscard]] std::uint64_t wait_ms(std::uint64_t now_ns) const;
  /// The time that was not observed, the share of the traps, what the budget made of the sampling.
  void add_to(Honesty& honesty, std::uint64_t now_ns) const;

 private:
  [[nodiscard]] std::uint64_t due_ns() const;

  Throttle* throttle_;
  CostMeter* cost_;
  double percent_;
  Budget budget_;
  std::uint64_t start_ns_;
  std::uint64_t last_ns_;       // when the cost was measured last, or a pause began or ended
  std::uint64_t pause_ns_ = 0;  // length of the pause that is on; 0: none
  std::uint64_t unobserved_ns_ = 0;
  std::uint64_t pauses_ = 0;
  double traps_ns_ = 0;
};

}  // namespace lb::observe
