// SPDX-License-Identifier: Apache-2.0
// ResidentOptions: what `observe leak --tier pages` is asked to do. Data.
#pragma once

#include <cstdint>

#include "observe/tracer.h"

namespace lb::observe {

struct ResidentOptions {
  TargetSet targets;
  bool own_child = false;  ///< targets.pids[0] is a command of ours that does not run yet
  std::uint32_t stacks_max = 16 * 1024;
  bool scan = true;  ///< PAGEMAP_SCAN where it is there (tests compare both ways)
  /// As on a kernel without maple_tree:ma_write, mmap_lock:mmap_lock_acquire_returned and
  /// kmem:rss_stat (tests compare both ways).
  bool by_system_calls = false;
};

}  // namespace lb::observe
