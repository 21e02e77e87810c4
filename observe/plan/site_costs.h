// SPDX-License-Identifier: Apache-2.0
// SiteCosts: what one hit of a uprobe costs on this machine, by the kind of its site, the trap
// included (bpf_stats does not see the trap), and what our program does there. Traps are measured
// on own functions in a child process, work by a program that is run for that.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/base/result.h"
#include "observe/plan/entry_block.h"

namespace lb::observe {

/// How probes are attached; the best that the kernel has.
enum class Mechanism : std::uint8_t {
  Session,  ///< uprobe.session for functions whose return is probed, uprobe.multi for the others
  Multi,    ///< uprobe.multi, a second link for returns
  Plain,    ///< a perf event for each place
};
[[nodiscard]] std::string name_of(Mechanism mechanism);

/// Nanoseconds of a hit with a program that does nothing, and the unit of a program's work.
struct SiteCosts {
  double emulated_ns = 600;    ///< a site that the kernel emulates
  double stepped_ns = 18'000;  ///< a site that it single-steps
  double return_ns = 400;      ///< what a return probe adds to either
  double work_ns = 75;         ///< measure_bpf_work_unit()
  bool measured = false;       ///< false: typical figures, not of this machine

  [[nodiscard]] double of(const ProbeSite& site, bool returns) const {
    return (site.way == UprobeWay::Emulated ? emulated_ns : stepped_ns) +
           (returns ? return_ns : 0.0);
  }
  /// What bpf/observe_heap.bpf.c does in a call that it takes (stack, block and stat at the
  /// return), or when it takes the block out again.
  [[nodiscard]] double program_ns(bool returns) const {
    return work_ns * (returns ? kTakenUnits : kFreedUnits);
  }
  /// Fitted to observe_bench on one host, whose trap takes 5 us and leaves the caches cold: 34
  /// units a pair at call depth 1. Fewer than that, for a host with a cheap trap needs fewer.
  static constexpr double kTakenUnits = 20;
  static constexpr double kFreedUnits = 4;
};

/// Takes about 50 ms of two CPUs; forks a child that ends before this returns. Errors: those of
/// attach_uprobes(); errno of pipe(2) and fork(2); EIO when the child did not answer.
[[nodiscard]] Result<SiteCosts> measure_site_costs(Mechanism mechanism);

}  // namespace lb::observe
