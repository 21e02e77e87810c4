// SPDX-License-Identifier: Apache-2.0
// IntervalMap: a value for each number of a range, kept as the fewest intervals of equal values.
// For pages and mappings of an address space. Plain data; one thread.
//
// Rule: intervals never overlap, none is empty, and two that touch have different values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

namespace lb::observe {

/// `T` is copied and compared by ==.
template <class T>
class IntervalMap {
 public:
  struct Piece {
    std::uint64_t start = 0;
    std::uint64_t end = 0;  ///< behind it
    T value{};

    bool operator==(const Piece&) const = default;
  };

  /// All of [start, end) has this value from now on. Nothing when it is empty.
  void assign(std::uint64_t start, std::uint64_t end, const T& value) {
    if (start >= end) return;
    if (const auto* held = find(start);
        held != nullptr && held->end >= end && held->value == value) {
      return;
    }
    erase(start, end);
    auto after = pieces_.lower_bound(start);
    if (after != pieces_.end() && after->first == end && after->second.value == value) {
      end = after->second.end;
      after = pieces_.erase(after);
    }
    if (after != pieces_.begin()) {
      auto& before = std::prev(after)->second;
      if (before.end == start && before.value == value) {
        before.end = end;
        return;
      }
    }
    pieces_.emplace_hint(after, start, Piece{start, end, value});
  }

  /// Nothing of [start, end) has a value any more. Gives what had, cut to the range.
  std::vector<Piece> take(std::uint64_t start, std::uint64_t end) {
    std::vector<Piece> taken;
    cut(start, end, &taken);
    return taken;
  }
  void erase(std::uint64_t start, std::uint64_t end) { cut(start, end, nullptr); }
  void clear() { pieces_.clear(); }

  /// The interval around it; null: it has no value. Valid until the next change.
  [[nodiscard]] const Piece* find(std::uint64_t at) const {
    auto after = pieces_.upper_bound(at);
    if (after == pieces_.begin()) return nullptr;
    const auto& piece = std::prev(after)->second;
    return at < piece.end ? &piece : nullptr;
  }
  /// How far from `at` on, `end` at most, everything has the same value, or none has one.
  [[nodiscard]] std::uint64_t same_until(std::uint64_t at, std::uint64_t end) const {
    auto after = pieces_.upper_bound(at);
    if (after != pieces_.end()) end = std::min(end, after->first);
    if (after == pieces_.begin()) return end;
    const auto& piece = std::prev(after)->second;
    return at < piece.end ? std::min(end, piece.end) : end;
  }
  /// Calls `each` with the pieces of [start, end), cut to it, in order.
  template <class Each>
  void for_each(std::uint64_t start, std::uint64_t end, Each each) const {
    auto at = pieces_.upper_bound(start);
    if (at != pieces_.begin()) --at;
    for (; at != pieces_.end() && at->first < end; ++at) {
      const auto& piece = at->second;
      if (piece.end <= start) continue;
      each(Piece{std::max(piece.start, start), std::min(piece.end, end), piece.value});
    }
  }
  [[nodiscard]] std::size_t size() const { return pieces_.size(); }
  /// The sum of the lengths.
  [[nodiscard]] std::uint64_t length() const {
    std::uint64_t sum = 0;
    for (const auto& [start, piece] : pieces_) sum += piece.end - start;
    return sum;
  }

 private:
  void cut(std::uint64_t start, std::uint64_t end, std::vector<Piece>* taken) {
    if (start >= end) return;
    auto at = pieces_.upper_bound(start);
    if (at != pieces_.begin()) --at;
    while (at != pieces_.end() && at->first < end) {
      if (at->second.end <= start) {
        ++at;
        continue;
      }
      const Piece piece = at->second;
      at = pieces_.erase(at);
      if (piece.start < start) {
        pieces_.emplace_hint(at, piece.start, Piece{piece.start, start, piece.value});
      }
      if (piece.end > end) {
        at = pieces_.emplace_hint(at, end, Piece{end, piece.end, piece.value});
      }
      if (taken != nullptr) {
        taken->push_back({std::max(piece.start, start), std::min(piece.end, end), piece.value});
      }
    }
  }

  std::map<std::uint64_t, Piece> pieces_;  // by start
};

}  // namespace lb::observe
