// SPDX-License-Identifier: Apache-2.0
// KernelLeakOptions: what `observe leak --kernel` is asked to do. Data.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "observe/tracer.h"

namespace lb::observe {

struct KernelLeakOptions {
  TargetSet targets;
  bool slab = true;  ///< kmalloc and slab caches
  bool percpu = true;
  bool vmalloc = true;
  std::uint64_t min_size = 0;  ///< bytes as the allocator takes them, not as they were asked for
  std::uint64_t max_size = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t older_ms = 0;       ///< outstanding is only what is at least this old
  std::uint64_t sample_bytes = 0;   ///< interval of the Poisson process; 0: all
  std::uint64_t sample_seed = 0;    ///< 0: by chance
  std::vector<std::string> caches;  ///< only these slab caches, by slabinfo's names; empty: all
  std::uint32_t blocks_max = 512 * 1024;
  std::uint32_t stacks_max = 16 * 1024;
  bool show_allocs = false;  ///< a section with each outstanding block
  bool trace = false;        ///< each event through drain()
};

}  // namespace lb::observe
