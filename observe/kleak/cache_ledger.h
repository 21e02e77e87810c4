// SPDX-License-Identifier: Apache-2.0
// CacheLedger: holds what the events told of each slab cache against slabinfo, and says of which
// caches frees cannot be seen. kfree_rcu, kfree_bulk and kmem_cache_free_bulk free without a
// tracepoint: their objects would look leaked. Pure but for make_baseline(), which reads /sys.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "observe/kleak/slabinfo.h"
#include "observe/kleak/snapshot.h"

namespace lb::observe {

/// slabinfo at attach.
struct SlabBaseline {
  struct Cache {
    std::uint64_t active = 0;
    std::uint64_t slack = 0;  ///< how many of these may have been free objects
  };
  std::map<std::string, Cache, std::less<>> caches;
};

/// Of two readings around the moment of the attach: the smaller count of each cache.
[[nodiscard]] SlabBaseline make_baseline(const Slabinfo& before, const Slabinfo& after);

/// What is known of one cache.
struct CacheVerdict {
  bool frees_visible = true;
  /// Frees that certainly happened and showed no event: records that were replaced because their
  /// address came back, or allocations that slabinfo does not hold any more.
  std::uint64_t hidden = 0;
  /// The most that can be outstanding: the cache's active objects. None: slabinfo does not tell.
  std::optional<std::uint64_t> objects_max;
  std::uint64_t active_at_attach = 0;
  std::uint64_t active_now = 0;
};

/// By kmem_group_key::cache. A cache is judged blind only when recursion cannot explain it: more
/// than `missed` frees are hidden. `baseline` nullptr, or no slabinfo in the snapshot: addresses
/// that came back are all that is known.
[[nodiscard]] std::map<std::uint64_t, CacheVerdict> judge_caches(const KernelLeakSnapshot& snapshot,
                                                                 const SlabBaseline* baseline);

}  // namespace lb::observe
