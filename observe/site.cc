// SPDX-License-Identifier: Apache-2.0
#include "observe/site.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace lb::observe {
namespace {

constexpr std::array<std::string_view, 22> kKernelAllocators = {
    "__kmalloc",    "kmalloc_",       "kmem_cache_alloc", "___slab_alloc", "__slab_alloc",
    "__kvmalloc",   "kvmalloc",       "krealloc",         "kmemdup",       "kstrdup",
    "pcpu_alloc",   "__alloc_percpu", "__vmalloc",        "vmalloc",       "alloc_vmap_area",
    "__alloc_page", "alloc_page",     "__get_free_page",  "get_free_page", "get_zeroed_page",
    "folio_alloc",  "__folio_alloc"};

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string words(const Report& report, const Frame& frame) {
  if (!frame.places.empty()) {
    const Place& place = frame.places.front();
    if (place.file.empty()) return place.function;
    return fmt::format("{} {}:{}", place.function, base_name(place.file), place.line);
  }
  if (frame.object == kNone) return fmt::format("{:#x}", frame.address);
  return fmt::format("{}+{:#x}", base_name(report.objects[frame.object].path), frame.offset);
}

}  // namespace

void add_sites(Report& report, const std::function<bool(const Frame&)>& inside) {
  std::vector<std::string> sites;
  sites.reserve(report.stacks.size());
  for (const Stack& stack : report.stacks) {
    const auto caller = std::ranges::find_if_not(
        stack.frames, [&](std::uint32_t frame) { return inside(report.frames[frame]); });
    const auto frame = caller != stack.frames.end() ? caller : stack.frames.begin();
    sites.push_back(stack.frames.empty() ? "-" : words(report, report.frames[*frame]));
  }
  report.dimensions.emplace_back(kSite);
  for (Row& row : report.rows) {
    row.labels.push_back(row.stack == kNone ? "-" : sites[row.stack]);
  }
}

bool is_kernel_allocator(std::string_view function) {
  return std::ranges::any_of(kKernelAllocators, [function](std::string_view prefix) {
    return function.starts_with(prefix);
  });
}

}  // namespace lb::observe
