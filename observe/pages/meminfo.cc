// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/meminfo.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"

namespace lb::observe {
namespace {

constexpr std::int64_t kPageBytes = 4096;
constexpr std::size_t kFileBytesMax = 16U << 20;

// Every page is in at most one of these. Slab stands for SReclaimable + SUnreclaim, the LRU lists
// for page cache, anonymous and shared memory, Unevictable for Mlocked.
constexpr std::array kParts = {
    "MemFree",    "Active",        "Inactive", "Unevictable", "Slab",
    "PageTables", "SecPageTables", "Percpu",   "VmallocUsed", "Hugetlb",
    "Bounce",     "WritebackTmp",  "Balloon",  "Zswap",
};

template <class Each>
void for_each_line(std::string_view text, Each each) {
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    each(line);
  }
}

/// The number after the blanks; -1: none.
std::int64_t number_in(std::string_view text) {
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t")));
  std::int64_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Result<std::string> read_proc(const char* path) {
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, path);
  auto text = read_whole(file.get(), kFileBytesMax);
  if (!text) return fail_in(path, text.error());
  return text;
}

}  // namespace

std::int64_t Meminfo::at(std::string_view name) const {
  auto found = std::ranges::find(lines, name, &std::pair<std::string, std::int64_t>::first);
  return found == lines.end() ? 0 : found->second;
}

Meminfo parse_meminfo(std::string_view meminfo, std::string_view zoneinfo,
                      std::string_view vmstat) {
  Meminfo result;
  for_each_line(meminfo, [&result](std::string_view line) {
    auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    auto number = number_in(line.substr(colon + 1));
    if (number < 0) return;
    const bool kilobytes = line.ends_with(" kB");
    result.lines.emplace_back(line.substr(0, colon), kilobytes ? number * 1024 : number);
  });
  for_each_line(zoneinfo, [&result](std::string_view line) {
    auto start = line.find_first_not_of(' ');
    if (start == std::string_view::npos || !line.substr(start).starts_with("count: ")) return;
    result.per_cpu_free +=
        std::max<std::int64_t>(0, number_in(line.substr(start + 6))) * kPageBytes;
  });
  for_each_line(vmstat, [&result](std::string_view line) {
    constexpr std::string_view kName = "pgmigrate_success ";
    if (line.starts_with(kName)) result.migrated = number_in(line.substr(kName.size()));
  });
  return result;
}

Result<Meminfo> read_meminfo() {
  LB_TRY_ASSIGN(auto meminfo, read_proc("/proc/meminfo"));
  LB_TRY_ASSIGN(auto zoneinfo, read_proc("/proc/zoneinfo"));
  LB_TRY_ASSIGN(auto vmstat, read_proc("/proc/vmstat"));
  return parse_meminfo(meminfo, zoneinfo, vmstat);
}

HiddenMemory hidden_memory(const Meminfo& meminfo) {
  HiddenMemory result;
  result.hidden = meminfo.at("MemTotal");
  result.parts.emplace_back("MemTotal", result.hidden);
  auto take = [&result](std::string name, std::int64_t bytes) {
    if (bytes == 0) return;
    result.parts.emplace_back(std::move(name), -bytes);
    result.hidden -= bytes;
  };
  for (const char* part : kParts) take(part, meminfo.at(part));
  if (!meminfo.stacks_in_vmalloc) take("KernelStack", meminfo.at("KernelStack"));
  take("free, on per-CPU lists", meminfo.per_cpu_free);
  result.parts.emplace_back("hidden", result.hidden);
  return result;
}

}  // namespace lb::observe
