// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_look.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"

namespace lb::observe {
namespace {

constexpr std::size_t kTextBytesMax = 64U << 20;
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kHugeBytes = 2U << 20;

// linux/fs.h of Linux 6.7; the build machine's may be older.
struct PageRegion {
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t categories;
};
struct PagemapScan {
  std::uint64_t size;
  std::uint64_t flags;
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t walk_end;
  std::uint64_t vec;
  std::uint64_t vec_len;
  std::uint64_t max_pages;
  std::uint64_t category_inverted;
  std::uint64_t category_mask;
  std::uint64_t category_anyof_mask;
  std::uint64_t return_mask;
};
static_assert(sizeof(PagemapScan) == 96);
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
constexpr std::uint64_t kIsFile = 1U << 2U;
constexpr std::uint64_t kIsPresent = 1U << 3U;
constexpr std::uint64_t kIsZero = 1U << 5U;
constexpr std::uint64_t kIsHuge = 1U << 6U;

// An entry of /proc/PID/pagemap (admin-guide/mm/pagemap.rst).
constexpr std::uint64_t kEntryFrame = (std::uint64_t{1} << 55U) - 1;
constexpr std::uint64_t kEntryFile = std::uint64_t{1} << 61U;
constexpr std::uint64_t kEntryPresent = std::uint64_t{1} << 63U;

std::unexpected<Error> has_ended(std::uint32_t pid) {
  return fail(ESRCH, fmt::format("process {} has ended", pid));
}

Result<Fd> open_of(std::uint32_t pid, const std::string& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file) return file;
  if (errno == ENOENT || errno == ESRCH) return has_ended(pid);
  return fail_errno(errno, path);
}

Result<std::string> read_text(std::uint32_t pid, const std::string& path) {
  LB_TRY_ASSIGN(const auto file, open_of(pid, path));
  auto text = read_whole(file.get(), kTextBytesMax);
  if (!text) return fail_in(path, text.error());
  return text;
}

struct Place {
  std::string directory;  // "/proc/PID", or of a thread
  std::string maps;
};

/// Where the memory of this process is shown: not in its own directory when the main thread has
/// ended before others. Errors: ESRCH: it has none any more.
Result<Place> place_of(std::uint32_t pid) {
  const auto process = fmt::format("/proc/{}", pid);
  auto maps = read_text(pid, process + "/maps");
  if (maps && !maps->empty()) return Place{process, std::move(*maps)};
  if (!maps && maps.error().code.value() != ESRCH) return std::unexpected(maps.error());
  std::error_code error;
  std::filesystem::directory_iterator thread(process + "/task", error);
  for (; !error && thread != std::filesystem::directory_iterator(); thread.increment(error)) {
    const auto directory = thread->path().string();
    maps = read_text(pid, directory + "/maps");
    if (maps && !maps->empty()) return Place{directory, std::move(*maps)};
  }
  return has_ended(pid);
}

std::string_view take_line(std::string_view& text) {
  const auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

bool is_in_memory(std::string_view path) {
  constexpr std::array<std::string_view, 6> kPlaces = {
      "/memfd:", "/dev/zero", "/SYSV", "/dev/shm/", "/dev/hugepages", "/anon_hugepage"};
  return std::ranges::any_of(kPlaces, [path](auto place) { return path.starts_with(place); });
}

/// In order of addresses. What is told again, as PAGEMAP_SCAN does where it has to begin a table
/// anew, counts once.
void append(std::vector<ResidentRegion>& regions, ResidentRegion more) {
  if (!regions.empty()) {
    auto& last = regions.back();
    more.start = std::max(more.start, last.end);
    if (more.start >= more.end) return;
    if (last.end == more.start && last.file == more.file && last.huge == more.huge) {
      last.end = more.end;
      return;
    }
  }
  regions.push_back(more);
}

/// REQUIRES: `end` is no higher than user memory goes. Errors: ENOTTY: this kernel cannot.
Status scan_pages(int fd, std::uint64_t end, std::vector<ResidentRegion>& regions) {
  std::vector<PageRegion> found(4096);
  for (std::uint64_t at = 0; at < end;) {
    PagemapScan scan{};
    scan.size = sizeof scan;
    scan.start = at;
    scan.end = end;
    scan.vec = reinterpret_cast<std::uintptr_t>(found.data());
    scan.vec_len = found.size();
    scan.category_inverted = kIsZero;
    scan.category_mask = kIsPresent | kIsZero;
    scan.return_mask = kIsFile | kIsHuge;
    const int count = ioctl(fd, kPagemapScan, &scan);
    if (count < 0) return fail_errno(errno, "PAGEMAP_SCAN");
    for (int i = 0; i < count; ++i) {
      const auto& region = found[static_cast<std::size_t>(i)];
      append(regions, {region.start, region.end, (region.categories & kIsFile) != 0,
                       (region.categories & kIsHuge) != 0});
    }
    if (scan.walk_end <= at) break;
    at = scan.walk_end;
  }
  return {};
}

/// The frame of its entry; 0: there is none, or frames are not shown to us.
std::uint64_t frame_at(int fd, std::uint64_t address) {
  std::uint64_t entry = 0;
  const auto at = static_cast<off_t>(address / kPageBytes * sizeof entry);
  if (pread(fd, &entry, sizeof entry, at) != ssize_t{sizeof entry}) return 0;
  return (entry & kEntryPresent) != 0 ? entry & kEntryFrame : 0;
}

/// The frame of zeros that all untouched memory shares, the first one of a page of this size; 0:
/// there is none, or frames are not shown to us.
std::uint64_t zero_frame(std::uint64_t page_bytes) {
  const std::uint64_t bytes = 3 * page_bytes;  // two pages, wherever it is
  void* area = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) return 0;
  (void)madvise(area, bytes, page_bytes == kHugeBytes ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  const Fd file(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  const auto over = reinterpret_cast<std::uintptr_t>(area) % page_bytes;
  std::array<std::uint64_t, 2> frames{};
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto* byte =
        static_cast<const char*>(area) + (page_bytes - over) % page_bytes + i * page_bytes;
    (void)*static_cast<const volatile char*>(byte);
    frames[i] = frame_at(file.get(), reinterpret_cast<std::uintptr_t>(byte));
  }
  munmap(area, bytes);
  return frames[0] == frames[1] ? frames[0] : 0;
}

/// The frames of zeros, which take no memory. The huge one may go when nobody has it any more, so
/// they are learnt for each look; the kernel leaves it to us from then on.
class ZeroFrames {
 public:
  ZeroFrames() : small_(zero_frame(kPageBytes)), huge_(zero_frame(kHugeBytes)) {
    if (huge_ == small_) huge_ = 0;  // no huge pages here
  }
  [[nodiscard]] bool has(std::uint64_t frame) const {
    return (small_ != 0 && frame == small_) ||
           (huge_ != 0 && frame - huge_ < kHugeBytes / kPageBytes);
  }

 private:
  std::uint64_t small_;
  std::uint64_t huge_;
};

/// PAGEMAP_SCAN does not know huge pages of zeros on every kernel.
void drop_huge_zeros(int fd, std::vector<ResidentRegion>& regions) {
  auto may_be = [](const ResidentRegion& region) { return region.huge && !region.file; };
  if (std::ranges::none_of(regions, may_be)) return;
  const ZeroFrames zeros;
  std::vector<ResidentRegion> kept;
  for (const auto& region : regions) {
    if (!may_be(region)) {
      kept.push_back(region);
      continue;
    }
    for (std::uint64_t at = region.start; at < region.end;) {
      const auto end = std::min(region.end, (at | (kHugeBytes - 1)) + 1);
      if (!zeros.has(frame_at(fd, at))) append(kept, {at, end, region.file, region.huge});
      at = end;
    }
  }
  regions = std::move(kept);
}

Status read_pages(int fd, const ResidentMapping& mapping, const ZeroFrames& zeros,
                  std::vector<ResidentRegion>& regions) {
  std::vector<std::uint64_t> entries(8192);
  for (std::uint64_t at = mapping.start; at < mapping.end;) {
    const auto pages = std::min<std::uint64_t>(entries.size(), (mapping.end - at) / kPageBytes);
    const ssize_t got = pread(fd, entries.data(), pages * sizeof(std::uint64_t),
                              static_cast<off_t>(at / kPageBytes * sizeof(std::uint64_t)));
    if (got < 0) return fail_errno(errno, "pagemap");
    if (got < static_cast<ssize_t>(sizeof(std::uint64_t))) return {};
    const auto read = static_cast<std::size_t>(got) / sizeof(std::uint64_t);
    for (std::size_t i = 0; i < read; ++i, at += kPageBytes) {
      const auto entry = entries[i];
      if ((entry & kEntryPresent) == 0 || zeros.has(entry & kEntryFrame)) continue;
      append(regions, {at, at + kPageBytes, (entry & kEntryFile) != 0, false});
    }
  }
  return {};
}

}  // namespace

const ResidentMapping* ResidentLook::mapping_at(std::uint64_t address) const {
  const auto behind = std::ranges::upper_bound(mappings, address, {}, &ResidentMapping::start);
  if (behind == mappings.begin()) return nullptr;
  const auto& mapping = *std::prev(behind);
  return address < mapping.end ? &mapping : nullptr;
}

std::uint64_t ResidentLook::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& region : regions) sum += region.end - region.start;
  return sum;
}

std::uint64_t ResidentLook::break_end() const {
  std::uint64_t end = 0;  // mprotect and mlock make several mappings of it
  for (const auto& mapping : mappings) {
    if (mapping.name == "[heap]") end = mapping.end;
  }
  return end;
}

std::vector<ResidentMapping> parse_mappings(std::string_view text) {
  std::vector<ResidentMapping> mappings;
  while (!text.empty()) {
    const auto line = take_line(text);
    ResidentMapping mapping;
    const char* const end = line.end();
    auto number = std::from_chars(line.begin(), end, mapping.start, 16);
    if (number.ec != std::errc() || number.ptr == end || *number.ptr != '-') continue;
    number = std::from_chars(number.ptr + 1, end, mapping.end, 16);
    if (number.ec != std::errc() || mapping.end <= mapping.start) continue;
    if (end - number.ptr < 6) continue;
    const bool shared = number.ptr[4] == 's';
    // Behind protection, offset, device and inode.
    std::string_view rest(number.ptr, static_cast<std::size_t>(end - number.ptr));
    for (int field = 0; field < 4 && !rest.empty(); ++field) {
      rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
      rest.remove_prefix(std::min(rest.size(), rest.find(' ')));
    }
    rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
    mapping.name = rest;
    mapping.in_memory = is_in_memory(rest);
    mapping.device = rest.starts_with("[vvar") || rest == "[vsyscall]" ||
                     (shared && rest.starts_with("/dev/") && !mapping.in_memory);
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

ResidentStatus parse_status(std::string_view text) {
  ResidentStatus status;
  const std::array<std::pair<std::string_view, std::uint64_t*>, 4> fields = {
      {{"VmRSS:", &status.all},
       {"RssAnon:", &status.anon},
       {"RssFile:", &status.file},
       {"RssShmem:", &status.shared}}};
  while (!text.empty()) {
    const auto line = take_line(text);
    for (const auto& [name, value] : fields) {
      if (!line.starts_with(name)) continue;
      const auto digits = std::min(line.size(), line.find_first_of("0123456789"));
      std::uint64_t kib = 0;
      std::from_chars(line.begin() + digits, line.end(), kib);
      *value = kib * 1024;
    }
  }
  return status;
}

Result<std::vector<ResidentMapping>> mappings_of(std::uint32_t pid) {
  LB_TRY_ASSIGN(const auto place, place_of(pid));
  return parse_mappings(place.maps);
}

Result<ResidentLook> look_at(std::uint32_t pid, bool scan) {
  ResidentLook look;
  LB_TRY_ASSIGN(const auto place, place_of(pid));
  LB_TRY_ASSIGN(const auto pagemap, open_of(pid, place.directory + "/pagemap"));
  look.mappings = parse_mappings(place.maps);
  // vsyscall is not of user memory.
  std::uint64_t highest = 0;
  for (const auto& mapping : look.mappings) {
    if (mapping.name != "[vsyscall]") highest = std::max(highest, mapping.end);
  }
  auto scanned =
      scan ? scan_pages(pagemap.get(), highest, look.regions) : Status(fail(ENOTTY, "not wanted"));
  if (!scanned) {
    if (scanned.error().code != std::errc::inappropriate_io_control_operation) {
      return std::unexpected(scanned.error());
    }
    look.regions.clear();
    const ZeroFrames zeros;
    for (const auto& mapping : look.mappings) {
      if (mapping.name == "[vsyscall]") continue;
      LB_TRY(read_pages(pagemap.get(), mapping, zeros, look.regions));
    }
  } else {
    drop_huge_zeros(pagemap.get(), look.regions);
  }
  LB_TRY_ASSIGN(const auto status, read_text(pid, place.directory + "/status"));
  look.status = parse_status(status);
  // A region that reaches out of a device is cut there.
  std::vector<ResidentRegion> kept;
  for (const auto& region : look.regions) {
    for (std::uint64_t at = region.start; at < region.end;) {
      const auto* mapping = look.mapping_at(at);
      const auto end = mapping != nullptr ? std::min(region.end, mapping->end) : region.end;
      if (mapping == nullptr || !mapping->device) {
        append(kept, {at, end, region.file, region.huge});
      }
      at = end;
    }
  }
  look.regions = std::move(kept);
  return look;
}

}  // namespace lb::observe
