// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/slabinfo.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace lb::observe {
namespace {

constexpr std::string_view kHeader = "slabinfo - version: 2.";

std::optional<std::uint64_t> first_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

}  // namespace

Result<Slabinfo> parse_slabinfo(std::string_view text) {
  if (!text.starts_with(kHeader)) return fail(EINVAL, "/proc/slabinfo is not of version 2");
  Slabinfo caches;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with("slabinfo") || line.starts_with("#")) continue;
    std::istringstream words(line);
    std::string name;
    std::uint64_t objects = 0;
    SlabCache cache;
    words >> name >> cache.active_objects >> objects >> cache.object_bytes >>
        cache.objects_per_slab;
    if (words && cache.objects_per_slab > 0) caches[name] = cache;
  }
  return caches;
}

Result<Slabinfo> read_slabinfo() {
  std::ifstream file("/proc/slabinfo");
  if (!file) return fail_errno(errno, "/proc/slabinfo");
  return parse_slabinfo(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::uint64_t slab_slack(const std::string& name, const SlabCache& cache) {
  // Names come from the kernel, but they are put into a path here.
  if (name.find('/') != std::string::npos || name.starts_with(".")) return cache.active_objects;
  const std::string folder = "/sys/kernel/slab/" + name;
  if (first_number(folder + "/sheaf_capacity").value_or(0) > 0) return cache.active_objects;
  const auto slabs = first_number(folder + "/cpu_slabs");
  if (!slabs) return cache.active_objects;
  return std::min(cache.active_objects, *slabs * cache.objects_per_slab);
}

}  // namespace lb::observe
