// SPDX-License-Identifier: Apache-2.0
// HeapSnapshot: all that the heap-leak tracer holds in the kernel at one moment, read out of its
// maps, and the processes that its spaces are of. Data, and the function that reads it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bpf/observe_heap.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/result.h"

namespace lb::observe {

/// One life of an address space.
struct HeapSpace {
  std::uint32_t pid = 0;
  std::string comm;
  bool ended = false;     ///< the process has ended: what is left is what it never freed
  bool replaced = false;  ///< by exec: what is left went with the old program
};
using HeapSpaces = std::map<std::uint32_t, HeapSpace>;  // by id

struct HeapSnapshot {
  struct Block {
    observe_heap_key key{};
    observe_heap_block block{};
  };
  struct Stat {
    observe_heap_stat_key key{};
    observe_heap_stat stat{};
  };
  std::vector<Block> blocks;
  std::vector<Stat> stats;
  observe_losses losses{};
  observe_heap_totals totals{};
  std::uint64_t now_ns = 0;  ///< CLOCK_MONOTONIC
};

/// Errors: errno of bpf(2).
[[nodiscard]] Result<HeapSnapshot> read_heap_snapshot(const BpfObject& object);

}  // namespace lb::observe
