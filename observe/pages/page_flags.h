// SPDX-License-Identifier: Apache-2.0
// What /proc/kpageflags says about page frames that are known to be allocated: which of the lines
// of /proc/meminfo shows them, if any. Source: the kernel's admin-guide/mm/pagemap.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb::observe {

/// How a page frame is known to the rest of the kernel.
enum class PageUse : std::uint8_t {
  Unmarked,  ///< by no flag: vmalloc, per-CPU memory, or hidden; its stack decides
  User,      ///< page cache, anonymous or shared memory (LRU lists, mapped)
  Slab,
  PageTable,
  Hugetlb,
  Free,   ///< in the free lists: freed since the entry was read
  Other,  ///< reserved, offline, poisoned
};
inline constexpr std::size_t kPageUses = 7;

[[nodiscard]] PageUse page_use(std::uint64_t kpageflags) noexcept;
/// "slab", "page table", ...
[[nodiscard]] std::string_view page_use_name(PageUse use) noexcept;

class PageFlags {
 public:
  /// Errors: errno, with what to do (root).
  [[nodiscard]] static Result<PageFlags> open();
  /// The flags of `count` frames from `first` on, valid until the next call. Fewer, or none, when
  /// memory has gone.
  [[nodiscard]] std::span<const std::uint64_t> read(std::uint64_t first, std::size_t count);

 private:
  Fd file_;
  std::vector<std::uint64_t> flags_;
};

}  // namespace lb::observe
