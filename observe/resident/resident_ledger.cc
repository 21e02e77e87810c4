// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_ledger.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace lb::observe {
namespace {

constexpr std::uint64_t kEverything = ~std::uint64_t{0};

}  // namespace

ResidentLedger::Range ResidentLedger::pages_of(std::uint64_t address, std::uint64_t bytes) {
  const std::uint64_t start = address / kPageBytes * kPageBytes;
  const std::uint64_t room = kEverything - kPageBytes - start;
  const std::uint64_t length = std::min(bytes, room) + (address - start);
  return {start, start + (length + kPageBytes - 1) / kPageBytes * kPageBytes};
}

const ResidentLedger::Space& ResidentLedger::find(std::uint32_t space) const {
  static const Space kNothing;
  const auto found = spaces_.find(space);
  return found == spaces_.end() ? kNothing : found->second;
}

void ResidentLedger::begin(std::uint32_t space, std::span<const Range> before,
                           std::span<const Range> mapped, std::uint64_t break_end) {
  Space fresh;
  for (const auto& range : before) fresh.before.assign(range.start, range.end, {});
  for (const auto& range : mapped) fresh.mappings.assign(range.start, range.end, {});
  fresh.break_end = break_end;
  spaces_[space] = std::move(fresh);
}

void ResidentLedger::copy(std::uint32_t from, std::uint32_t to) {
  Space child = find(from);
  child.faults.clear();
  spaces_[to] = std::move(child);
}

void ResidentLedger::end(std::uint32_t space) {
  Space ended;
  ended.faults = find(space).faults;
  spaces_[space] = std::move(ended);
}

void ResidentLedger::touch(std::uint32_t space, std::uint64_t address, Touch touch, bool present) {
  auto& of_space = spaces_[space];
  const std::uint64_t page = address / kPageBytes * kPageBytes;
  of_space.touches.assign(page, page + kPageBytes, touch);
  if (!present) of_space.before.erase(page, page + kPageBytes);
  const auto* mapped = of_space.mappings.find(page);
  auto& faults = of_space.faults[{touch, mapped != nullptr ? mapped->value : MappedBy{}}];
  ++faults.count;
  faults.address = page;
}

void ResidentLedger::forget_pages(Space& space, Range range) {
  space.touches.erase(range.start, range.end);
  space.before.erase(range.start, range.end);
}

void ResidentLedger::map(std::uint32_t space, Range range, MappedBy by) {
  auto& of_space = spaces_[space];
  forget_pages(of_space, range);
  of_space.mappings.assign(range.start, range.end, by);
}

void ResidentLedger::unmap(std::uint32_t space, Range range) {
  auto& of_space = spaces_[space];
  of_space.touches.erase(range.start, range.end);
  of_space.mappings.erase(range.start, range.end);
}

void ResidentLedger::give_back(std::uint32_t space, Range range) {
  forget_pages(spaces_[space], range);
}

std::vector<ResidentLedger::Range> ResidentLedger::holes(const Space& space, Range range) {
  std::vector<Range> found;
  std::uint64_t at = range.start;
  const auto hole_until = [&](std::uint64_t end) {
    if (at < end) found.push_back({at, end});
  };
  space.mappings.for_each(range.start, range.end, [&](const auto& piece) {
    hole_until(piece.start);
    at = piece.end;
  });
  hole_until(range.end);
  return found;
}

void ResidentLedger::doubt(Space& space, Range range) {
  space.touches.erase(range.start, range.end);
  space.mappings.assign(range.start, range.end, {});
}

void ResidentLedger::map_within(std::uint32_t space, Range whole, std::uint64_t bytes,
                                MappedBy by) {
  auto& of_space = spaces_[space];
  if (whole.end - whole.start == bytes) return map(space, whole, by);  // merged with nobody
  const auto parts = holes(of_space, whole);
  const bool adds_up = parts.size() == 1 && parts[0].end - parts[0].start == bytes;
  if (of_space.mappings_lost || !adds_up) return doubt(of_space, whole);
  map(space, parts[0], by);
}

void ResidentLedger::move_within(std::uint32_t space, Range from, Range whole, std::uint64_t bytes,
                                 MappedBy by) {
  auto& of_space = spaces_[space];
  const auto parts = holes(of_space, whole);
  if (parts.empty()) return;  // what is left of the old mapping
  const Range part = parts[0];
  const Range in_place{from.start, from.start + bytes};
  const bool adds_up = parts.size() == 1 && !of_space.mappings_lost;
  if (adds_up && part.start == from.end && part.end == in_place.end) {
    return move(space, from, in_place, by);
  }
  if (adds_up && part.end - part.start == bytes) return move(space, from, part, by);
  doubt(of_space, whole);
  of_space.touches.erase(from.start, from.end);
  of_space.mappings.erase(from.start, from.end);
}

void ResidentLedger::know_mappings(std::uint32_t space, std::span<const Range> mapped) {
  auto& of_space = spaces_[space];
  if (!std::exchange(of_space.mappings_lost, false)) return;
  for (const auto& range : mapped) {
    for (const auto& hole : holes(of_space, range)) {
      of_space.mappings.assign(hole.start, hole.end, {});
    }
  }
}

void ResidentLedger::keep_before(std::uint32_t space, std::span<const Range> ranges) {
  auto& before = spaces_[space].before;
  std::uint64_t kept_until = 0;
  for (const auto& range : ranges) {
    before.erase(kept_until, range.start);
    kept_until = range.end;
  }
  before.erase(kept_until, kEverything);
}

void ResidentLedger::move(std::uint32_t space, Range from, Range to, MappedBy by) {
  auto& of_space = spaces_[space];
  if (from.start == to.start) {
    if (to.end > from.end) {
      forget_pages(of_space, {from.end, to.end});
      of_space.mappings.assign(from.end, to.end, by);
    } else {
      forget_pages(of_space, {to.end, from.end});
      of_space.mappings.erase(to.end, from.end);
    }
    return;
  }
  const std::uint64_t moved = std::min(from.end - from.start, to.end - to.start);
  const auto touches = of_space.touches.take(from.start, from.start + moved);
  const auto before = of_space.before.take(from.start, from.start + moved);
  forget_pages(of_space, from);
  of_space.mappings.erase(from.start, from.end);
  forget_pages(of_space, to);
  of_space.mappings.assign(to.start, to.end, by);
  const std::uint64_t by_bytes = to.start - from.start;  // wraps, and wraps back
  for (const auto& piece : touches) {
    of_space.touches.assign(piece.start + by_bytes, piece.end + by_bytes, piece.value);
  }
  for (const auto& piece : before) {
    of_space.before.assign(piece.start + by_bytes, piece.end + by_bytes, piece.value);
  }
}

void ResidentLedger::set_break(std::uint32_t space, Range heap, MappedBy by) {
  auto& of_space = spaces_[space];
  const Range pages = pages_of(heap.start, heap.end - heap.start);
  const std::uint64_t before = std::max(of_space.break_end, pages.start);
  of_space.break_end = pages.end;
  if (std::exchange(of_space.break_lost, false)) return;
  if (pages.end > before) {
    forget_pages(of_space, {before, pages.end});
    of_space.mappings.assign(before, pages.end, by);
  } else {
    forget_pages(of_space, {pages.end, before});
    of_space.mappings.erase(pages.end, before);
  }
}

void ResidentLedger::lose(std::uint32_t space, std::uint64_t address) {
  touch(space, address, {0, Fault::Lost}, true);
}

void ResidentLedger::lose_all() {
  for (auto& [id, space] : spaces_) {
    space.touches.clear();
    space.touches.assign(0, kEverything, {0, Fault::Lost});
    space.mappings.clear();
    space.mappings_lost = true;
    space.break_lost = true;
  }
}

Touch ResidentLedger::touch_of_huge(const Space& space, std::uint64_t address) {
  const std::uint64_t start = address & ~(kHugeBytes - 1);
  Touch only;
  bool several = false;
  space.touches.for_each(start, start + kHugeBytes, [&](const auto& piece) {
    several = several || (only != Touch{} && only != piece.value);
    only = piece.value;
  });
  return several ? Touch{} : only;
}

const ResidentLedger::FaultCounts& ResidentLedger::faults(std::uint32_t space) const {
  return find(space).faults;
}

std::uint64_t ResidentLedger::bytes_before(std::uint32_t space) const {
  return find(space).before.length();
}

MappedBy ResidentLedger::mapped_by(std::uint32_t space, std::uint64_t address) const {
  const auto* mapped = find(space).mappings.find(address);
  return mapped != nullptr ? mapped->value : MappedBy{};
}

}  // namespace lb::observe
