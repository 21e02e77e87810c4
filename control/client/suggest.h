// SPDX-License-Identifier: Apache-2.0
// "Did you mean …?": the nearest known word to one that is not known. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lb::client {

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The word of `known` nearest to `word`, or a word that begins with it; none when all are far off
/// (more than a third of the letters, at least two).
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 const std::vector<std::string>& known);

}  // namespace lb::client
