// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/mapping_ledger.h"

#include <algorithm>

namespace lb::observe {
namespace {

constexpr std::uint64_t kPageBytes = 4096;

}  // namespace

MappingLedger::Range MappingLedger::range_of(std::uint64_t address, std::uint64_t bytes) {
  const std::uint64_t pages = bytes / kPageBytes + (bytes % kPageBytes != 0 ? 1 : 0);
  const std::uint64_t room = (~std::uint64_t{0} - address) / kPageBytes;
  return {address, address + std::min(pages, room) * kPageBytes};
}

std::vector<MappingLedger::Piece> MappingLedger::cut_out(Space& space, Range range) {
  std::vector<Piece> taken;
  if (range.start >= range.end) return taken;
  auto at = space.pieces.upper_bound(range.start);
  if (at != space.pieces.begin()) --at;
  while (at != space.pieces.end() && at->first < range.end) {
    const auto [piece, origin] = at->second;
    if (piece.end <= range.start) {
      ++at;
      continue;
    }
    at = space.pieces.erase(at);
    const Range inside = {std::max(piece.start, range.start), std::min(piece.end, range.end)};
    taken.emplace_back(inside, origin);
    if (piece.start < inside.start) {
      space.pieces[piece.start] = {{piece.start, inside.start}, origin};
    }
    if (inside.end < piece.end) space.pieces[inside.end] = {{inside.end, piece.end}, origin};
  }
  return taken;
}

void MappingLedger::map(std::uint32_t space, Range range, const Origin& origin) {
  if (range.start >= range.end) return;
  auto& of_space = spaces_[space];
  cut_out(of_space, range);
  of_space.pieces[range.start] = {range, origin};
  auto& total = of_space.totals[{origin.stack, origin.brk}];
  ++total.calls;
  total.bytes += range.end - range.start;
}

void MappingLedger::begin_unmap(std::uint32_t space, std::uint32_t thread, Range range) {
  auto& of_space = spaces_[space];
  of_space.going[thread] = cut_out(of_space, range);
}

void MappingLedger::end_unmap(std::uint32_t space, std::uint32_t thread, bool failed) {
  auto& of_space = spaces_[space];
  auto going = of_space.going.find(thread);
  if (going == of_space.going.end()) return;
  if (failed) {
    for (const auto& piece : going->second) {
      // What another thread has mapped there meanwhile stays.
      auto now = cut_out(of_space, piece.first);
      of_space.pieces[piece.first.start] = piece;
      for (const auto& [range, origin] : now) {
        cut_out(of_space, range);
        of_space.pieces[range.start] = {range, origin};
      }
    }
  }
  of_space.going.erase(going);
}

void MappingLedger::set_break(std::uint32_t space, Range heap, const Origin& origin) {
  auto& of_space = spaces_[space];
  const std::uint64_t before = std::max(of_space.break_end, heap.start);
  of_space.break_end = heap.end;
  if (heap.end > before) {
    map(space, {before, heap.end}, origin);
  } else {
    cut_out(of_space, {heap.end, before});
  }
}

void MappingLedger::copy(std::uint32_t from, std::uint32_t to) {
  auto found = spaces_.find(from);
  if (found == spaces_.end()) return;
  auto child = found->second;
  child.going.clear();
  child.totals.clear();
  spaces_[to] = std::move(child);
}

const MappingLedger::Totals& MappingLedger::totals(std::uint32_t space) const {
  static const Totals kNothing;
  auto found = spaces_.find(space);
  return found == spaces_.end() ? kNothing : found->second.totals;
}

void MappingLedger::forget(std::uint32_t space) { spaces_.erase(space); }

void MappingLedger::for_each(
    const std::function<void(std::uint32_t, Range, const Origin&)>& each) const {
  for (const auto& [space, of_space] : spaces_) {
    for (const auto& [start, piece] : of_space.pieces) each(space, piece.first, piece.second);
  }
}

}  // namespace lb::observe
