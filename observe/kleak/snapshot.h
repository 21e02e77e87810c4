// SPDX-License-Identifier: Apache-2.0
// KernelLeakSnapshot: all that the kernel-leak tracer holds in the kernel at one moment, read out
// of its maps, with the kernel's own counts beside it. Data, and the function that reads it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bpf/observe_kmem.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/result.h"
#include "observe/kleak/slabinfo.h"

namespace lb::observe {

struct KernelLeakSnapshot {
  struct Group {
    kmem_group_key key{};
    kmem_group sums{};
  };
  struct Block {
    std::uint64_t address = 0;
    kmem_block block{};
  };
  struct Cache {
    std::string name;
    std::uint64_t allocs = 0;
    std::uint64_t frees = 0;
    std::uint64_t reused = 0;
  };
  std::vector<Group> groups;
  std::vector<Block> blocks;
  std::map<std::uint64_t, Cache> caches;  ///< by kmem_group_key::cache
  observe_losses losses{};
  kmem_own own{};
  /// Runs that the kernel left out because of recursion, without those for the BPF allocator.
  std::uint64_t missed = 0;
  std::uint64_t missed_own = 0;  ///< those
  std::uint64_t now_ns = 0;      ///< CLOCK_MONOTONIC
  /// Before and after the maps were read; none where the kernel has no slabinfo.
  std::optional<Slabinfo> slabinfo_before;
  std::optional<Slabinfo> slabinfo_after;
};

/// Errors: errno of bpf(2).
[[nodiscard]] Result<KernelLeakSnapshot> read_snapshot(const BpfObject& object);

/// The name of a cache that the kernel did not name: "percpu", "kmalloc-cg-64", ... or "" for one
/// that is not known.
[[nodiscard]] std::string unnamed_cache(std::uint64_t cache);

}  // namespace lb::observe
