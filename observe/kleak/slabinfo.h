// SPDX-License-Identifier: Apache-2.0
// Slabinfo: the kernel's own count of the objects of each slab cache, the truth that records of
// allocations and frees are held against. parse_slabinfo() is pure; the others read /proc and /sys.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb::observe {

/// One line of /proc/slabinfo.
struct SlabCache {
  std::uint64_t active_objects = 0;  ///< in use, or free on a slab that a CPU holds
  std::uint64_t object_bytes = 0;
  std::uint64_t objects_per_slab = 0;

  bool operator==(const SlabCache&) const = default;
};

/// By the cache's name. Merged caches have one line, under the name that their pointer has too.
using Slabinfo = std::map<std::string, SlabCache, std::less<>>;

/// Errors: EINVAL when it is not slabinfo 2.x. Lines that are cut or not numbers are skipped.
[[nodiscard]] Result<Slabinfo> parse_slabinfo(std::string_view text);

/// Errors: errno of /proc/slabinfo (root only; absent in some kernels).
[[nodiscard]] Result<Slabinfo> read_slabinfo();

/// How many of the active objects of a cache may be free ones: those on slabs that CPUs hold. All
/// of them where /sys/kernel/slab does not tell, or where CPUs keep objects apart (sheaves).
[[nodiscard]] std::uint64_t slab_slack(const std::string& name, const SlabCache& cache);

}  // namespace lb::observe
