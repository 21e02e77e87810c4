// SPDX-License-Identifier: Apache-2.0
// SiteCosts: what one hit of a uprobe costs on this machine, by the kind of its site, the trap
// included (bpf_stats does not see the trap), and what our program does there. Measured on own
// functions in a child process, work as well: a trap may leave the caches cold.
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
  double work_ns = 75;         ///< a unit of a program's work (bpf_work_cost.h) behind a trap
  bool measured = false;       ///< false: typical figures, not of this machine

  [[nodiscard]] double of(const ProbeSite& site, bool returns) const {
    return (site.way == UprobeWay::Emulated ? emulated_ns : stepped_ns) +
           (returns ? return_ns : 0.0);
  }
  /// The same with what bpf/observe_heap.bpf.c does in a call that it takes (stack, block and stat
  /// at the return), or when it takes the block out again.
  [[nodiscard]] double taken(const ProbeSite& site, bool returns) const {
    return of(site, returns) + work_ns * (returns ? kTakenUnits : kFreedUnits);
  }
  /// The same in a call that the sampling leaves, or a free of what it left. `returns` where the
  /// return is a hit even so.
  [[nodiscard]] double left(const ProbeSite& site, bool returns) const {
    return of(site, returns) + work_ns * kLeftUnits;
  }
  /// Fitted to observe_bench on one host, for stacks that are remembered (struct observe_walked);
  /// one that has to be walked takes up to two units a frame more.
  static constexpr double kTakenUnits = 5;
  static constexpr double kFreedUnits = 1.5;
  static constexpr double kLeftUnits = 0.5;
};

/// Nanoseconds of a unit of work (bpf_work_cost.h) of a program that runs behind a trap of a
/// process, as one at a page fault does. Errors as below.
[[nodiscard]] Result<double> measure_trapped_work();

/// Takes about 50 ms of two CPUs; forks a child that ends before this returns. Errors: those of
/// attach_uprobes(); errno of pipe(2) and fork(2); EIO when the child did not answer.
[[nodiscard]] Result<SiteCosts> measure_site_costs(Mechanism mechanism);

}  // namespace lb::observe
