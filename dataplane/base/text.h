// SPDX-License-Identifier: Apache-2.0
// Input in messages: what somebody wrote, made safe to print, and the known word that it may have
// been meant to be. Pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace lb {

/// `text` in quotes, cut to 80 bytes, with control characters and all that is not ASCII as \xNN.
[[nodiscard]] std::string quoted(std::string_view text);

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, upper and lower case
/// alike; looks at 64 characters of each. (Optimal string alignment distance.)
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// How far a known word may be from `word` to be worth a suggestion: a third of its letters, at
/// least two.
[[nodiscard]] constexpr std::size_t suggestion_limit(std::string_view word) noexcept {
  return std::max<std::size_t>(2, word.size() / 3);
}
/// edit_distance(), but at most 1 when `known` begins with `word`, and far when nothing of the word
/// is left.
[[nodiscard]] std::size_t suggestion_distance(std::string_view word, std::string_view known);

/// The word of `known` (a range of strings) nearest to `word`, the first of equals; empty when all
/// are far off.
template <class Range>
[[nodiscard]] std::string nearest(std::string_view word, const Range& known) {
  std::string_view found;
  std::size_t best = suggestion_limit(word) + 1;
  for (const auto& candidate : known) {
    const std::size_t distance = suggestion_distance(word, candidate);
    if (distance >= best) continue;
    best = distance;
    found = candidate;
  }
  return std::string(found);
}

}  // namespace lb
