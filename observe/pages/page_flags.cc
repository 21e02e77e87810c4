// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/page_flags.h"

#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <unistd.h>

#include <array>

namespace lb::observe {
namespace {

constexpr bool has(std::uint64_t flags, int bit) { return (flags >> bit & 1U) != 0; }

}  // namespace

PageUse page_use(std::uint64_t flags) noexcept {
  if (has(flags, KPF_NOPAGE) || has(flags, KPF_HWPOISON) || has(flags, KPF_OFFLINE)) {
    return PageUse::Other;
  }
  if (has(flags, KPF_BUDDY)) return PageUse::Free;
  if (has(flags, KPF_HUGE)) return PageUse::Hugetlb;
  if (has(flags, KPF_SLAB)) return PageUse::Slab;
  if (has(flags, KPF_PGTABLE)) return PageUse::PageTable;
  if (has(flags, KPF_LRU) || has(flags, KPF_ANON) || has(flags, KPF_MMAP) ||
      has(flags, KPF_SWAPBACKED) || has(flags, KPF_UNEVICTABLE)) {
    return PageUse::User;
  }
  return PageUse::Unmarked;
}

std::string_view page_use_name(PageUse use) noexcept {
  static constexpr std::array<std::string_view, kPageUses> kNames = {
      "unmarked", "user", "slab", "page table", "hugetlb", "free", "other"};
  return kNames[static_cast<std::size_t>(use)];
}

Result<PageFlags> PageFlags::open() {
  PageFlags flags;
  flags.file_.reset(::open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
  if (!flags.file_) {
    return fail_errno(errno, "/proc/kpageflags (root alone may read it; CONFIG_PROC_PAGE_MONITOR)");
  }
  return flags;
}

std::span<const std::uint64_t> PageFlags::read(std::uint64_t first, std::size_t count) {
  flags_.resize(count);
  const auto bytes = pread(file_.get(), flags_.data(), count * sizeof(std::uint64_t),
                           static_cast<off_t>(first * sizeof(std::uint64_t)));
  return std::span(flags_).first(bytes > 0 ? static_cast<std::size_t>(bytes) / 8 : 0);
}

}  // namespace lb::observe
