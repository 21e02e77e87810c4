// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/arenas.h"

#include <algorithm>
#include <array>

#include "observe/plan/roles.h"

namespace lb::observe {
namespace {

constexpr std::array<std::string_view, 4> kPrefixes = {"__GI_", "__libc_", "__", "_"};

/// Where glibc's doors are folded into others, what is behind them still has its name.
constexpr std::array<std::string_view, 7> kInside = {
    "_int_malloc", "_int_memalign", "_mid_memalign", "_int_realloc",
    "_int_free",   "sysmalloc",     "systrim"};

bool is_door(std::string_view name) {
  if (std::ranges::find(kInside, name) != kInside.end()) return true;
  const auto role = role_of(name);
  return role && (allocates(*role) || *role == Role::Free || *role == Role::OperatorNew ||
                  *role == Role::OperatorDelete);
}

bool is_of_loader(const Report& report, const Frame& frame) {
  if (frame.object == kNone) return false;
  std::string_view name = report.objects[frame.object].path;
  name.remove_prefix(name.rfind('/') + 1);
  return name.starts_with("ld-linux") || name.starts_with("ld-musl") || name.starts_with("ld.so") ||
         name.starts_with("ld64.so");
}

/// mmap and its like, as libc has them.
bool is_of_libc_mapping(const Frame& frame) {
  constexpr std::array<std::string_view, 10> kNames = {"mmap",   "mmap64",   "__mmap", "__mmap64",
                                                       "mremap", "__mremap", "brk",    "__brk",
                                                       "sbrk",   "__sbrk"};
  return std::ranges::any_of(frame.places, [&](const Place& place) {
    return std::ranges::find(kNames, place.function) != kNames.end();
  });
}

}  // namespace

bool is_allocator_function(std::string_view function) {
  if (is_door(function) || function.starts_with("operator new") ||
      function.starts_with("operator delete")) {
    return true;
  }
  bool stripped = true;
  while (stripped) {  // ends: each turn takes a prefix off
    stripped = false;
    for (auto prefix : kPrefixes) {
      if (!function.starts_with(prefix)) continue;
      function.remove_prefix(prefix.size());
      if (is_door(function)) return true;
      stripped = true;
      break;
    }
  }
  return false;
}

bool is_of_allocator(const Report& report, const Frame& frame,
                     const std::set<std::string>& objects) {
  if (frame.object != kNone && objects.contains(report.objects[frame.object].path)) return true;
  return std::ranges::any_of(
      frame.places, [](const Place& place) { return is_allocator_function(place.function); });
}

void take_out_arenas(Report& report, const std::set<std::string>& objects) {
  double arenas = 0;
  double loader = 0;
  std::erase_if(report.rows, [&](const Row& row) {
    if ((row.labels[0] != "mapping" && row.labels[0] != "brk") || row.stack == kNone) return false;
    const auto& frames = report.stacks[row.stack].frames;
    auto is_loader = [&](std::uint32_t frame) {
      return is_of_loader(report, report.frames[frame]);
    };
    auto is_mapping = [&](std::uint32_t frame) {
      return !is_of_loader(report, report.frames[frame]) &&
             is_of_libc_mapping(report.frames[frame]);
    };
    auto is_arena = [&](std::uint32_t frame) {
      return is_of_allocator(report, report.frames[frame], objects);
    };
    // A constructor, too, is called by the loader; what it maps is its own.
    const auto caller = std::ranges::find_if_not(frames, is_mapping);
    const bool by_loader = caller != frames.end() && is_loader(*caller);
    if (!by_loader && !std::ranges::any_of(frames, is_arena)) return false;
    (by_loader ? loader : arenas) += row.values[0].value;
    return true;
  });
  auto mapped = std::ranges::find(report.figures, "mapped", &Figure::name);
  if (mapped != report.figures.end()) mapped->value = mapped->value.value - arenas - loader;
  report.figures.push_back(
      {"arenas", Unit::Bytes, arenas, "mapped by allocators for the blocks above; in no row"});
  report.figures.push_back(
      {"loaded", Unit::Bytes, loader, "mapped by the dynamic linker; in no row"});
}

}  // namespace lb::observe
