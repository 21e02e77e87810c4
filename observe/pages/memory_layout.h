// SPDX-License-Identifier: Apache-2.0
// Which parts of physical memory there are, so that an entry per page frame takes room for real
// memory only and not for the holes between. Pure but for the one function that reads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

/// Memory by sections of 128 MiB (OBSERVE_SECTION_FRAMES frames).
struct MemoryLayout {
  /// By section number: where its frames begin in the table of entries, or OBSERVE_SECTION_ABSENT.
  std::vector<std::uint32_t> start;
  std::uint32_t entries = 0;  ///< frames of all sections that are there
};

/// From the text of /proc/iomem. Errors: EPERM when it shows no addresses (not root), EINVAL when
/// there is no memory in it, EFBIG over 2^32 frames.
[[nodiscard]] Result<MemoryLayout> parse_iomem(std::string_view text);
/// Errors as above, and errno of reading.
[[nodiscard]] Result<MemoryLayout> read_memory_layout();

}  // namespace lb::observe
