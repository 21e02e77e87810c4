// SPDX-License-Identifier: Apache-2.0
// What /proc/meminfo accounts for and what it does not: MemTotal less all that has a line, less the
// pages on per-CPU free lists, which are free but not in MemFree. Pure but for the function that
// reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

struct Meminfo {
  std::vector<std::pair<std::string, std::int64_t>> lines;  ///< bytes, in the file's order
  std::int64_t per_cpu_free = 0;   ///< bytes on per-CPU free lists (/proc/zoneinfo)
  std::int64_t migrated = 0;       ///< pages, pgmigrate_success of /proc/vmstat
  bool stacks_in_vmalloc = false;  ///< KernelStack is part of VmallocUsed

  /// Bytes of a line; 0 when this kernel has none.
  [[nodiscard]] std::int64_t at(std::string_view name) const;
};

/// The arithmetic: one part a line, the last one "hidden" = what is left.
struct HiddenMemory {
  std::vector<std::pair<std::string, std::int64_t>> parts;
  std::int64_t hidden = 0;
};

/// Lines that are not "Name: number kB" or "Name: number" are left out.
[[nodiscard]] Meminfo parse_meminfo(std::string_view meminfo, std::string_view zoneinfo,
                                    std::string_view vmstat);
/// Errors: errno of reading.
[[nodiscard]] Result<Meminfo> read_meminfo();
[[nodiscard]] HiddenMemory hidden_memory(const Meminfo& meminfo);

}  // namespace lb::observe
