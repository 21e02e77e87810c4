// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/memory_layout.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <charconv>

#include "bpf/observe_pages.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kFrameShift = 12;
constexpr std::uint64_t kSectionsMax = (1ULL << 32) / OBSERVE_SECTION_FRAMES;
constexpr std::string_view kRam = "System RAM";

struct Range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// "00100000-bfffffff : System RAM"; nothing for other lines.
bool parse_line(std::string_view line, Range& range) {
  if (line.starts_with(' ') || !line.ends_with(kRam)) return false;
  auto first = std::from_chars(line.data(), line.data() + line.size(), range.first, 16);
  if (first.ec != std::errc()) return false;
  line.remove_prefix(static_cast<std::size_t>(first.ptr - line.data()));
  if (!line.starts_with('-')) return false;
  line.remove_prefix(1);
  auto last = std::from_chars(line.data(), line.data() + line.size(), range.last, 16);
  return last.ec == std::errc() && range.last >= range.first;
}

}  // namespace

Result<MemoryLayout> parse_iomem(std::string_view text) {
  MemoryLayout layout;
  std::uint64_t bytes = 0;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    Range range;
    if (!parse_line(line, range)) continue;
    bytes += range.last - range.first;
    const std::uint64_t first = range.first >> kFrameShift >> OBSERVE_SECTION_SHIFT;
    const std::uint64_t last = range.last >> kFrameShift >> OBSERVE_SECTION_SHIFT;
    if (last >= kSectionsMax) {
      return fail(EFBIG, fmt::format("/proc/iomem has memory up to {:#x}: over 2^32 page frames "
                                     "are not supported",
                                     range.last));
    }
    if (layout.start.size() <= last) layout.start.resize(last + 1, OBSERVE_SECTION_ABSENT);
    for (auto section = first; section <= last; ++section) layout.start[section] = 0;
  }
  if (layout.start.empty()) return fail(EINVAL, "/proc/iomem names no memory (System RAM)");
  if (bytes == 0) {
    return fail(EPERM, "/proc/iomem hides its addresses from this user; run it as root");
  }
  for (auto& start : layout.start) {
    if (start == OBSERVE_SECTION_ABSENT) continue;
    start = layout.entries;
    layout.entries += OBSERVE_SECTION_FRAMES;
  }
  return layout;
}

Result<MemoryLayout> read_memory_layout() {
  const Fd file(::open("/proc/iomem", O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "/proc/iomem");
  auto text = read_whole(file.get(), 16U << 20);
  if (!text) return fail_in("/proc/iomem", text.error());
  return parse_iomem(*text);
}

}  // namespace lb::observe
