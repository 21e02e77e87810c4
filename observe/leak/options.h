// SPDX-License-Identifier: Apache-2.0
// HeapLeakOptions: what `observe leak` (of processes) is asked to do. Data.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "observe/leak/suppressions.h"
#include "observe/plan/allocators.h"
#include "observe/tracer.h"

namespace lb::observe {

struct HeapLeakOptions {
  TargetSet targets;
  bool own_child = false;  ///< targets.pids[0] is a command of ours that does not run yet
  std::vector<AllocOption> alloc;
  std::uint64_t min_size = 0;  ///< bytes as they were asked for
  std::uint64_t max_size = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t older_ms = 0;      ///< outstanding is only what is at least this old
  std::uint64_t sample_bytes = 0;  ///< interval of the Poisson process; 0: all
  std::uint64_t sample_seed = 0;   ///< 0: by chance
  std::uint32_t blocks_max = 512 * 1024;
  std::uint32_t stacks_max = 16 * 1024;
  bool budget = false;       ///< hits are counted and sites calibrated, for traps_ns()
  bool show_allocs = false;  ///< a section with each outstanding block
  bool trace = false;        ///< each event through drain()
  Suppressions suppressions;
};

}  // namespace lb::observe
