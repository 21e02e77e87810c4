// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/text.h"

#include <fmt/format.h>

#include <array>
#include <limits>

namespace lb {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 80;
  std::string out = "\"";
  for (char c : text.substr(0, kShown)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + (text.size() > kShown ? "...\"" : "\"");
}

std::size_t edit_distance(std::string_view left, std::string_view right) {
  constexpr std::size_t kMax = 64;
  std::string a(left.substr(0, kMax)), b(right.substr(0, kMax));
  std::ranges::transform(a, a.begin(), lower);
  std::ranges::transform(b, b.begin(), lower);
  // Three rows of the table are enough, the oldest one for swaps.
  std::array<std::array<std::size_t, kMax + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], rows[(i - 2) % 3][j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::size_t suggestion_distance(std::string_view word, std::string_view known) {
  const std::size_t distance = edit_distance(word, known);
  if (distance >= std::max(word.size(), known.size())) {
    return std::numeric_limits<std::size_t>::max();
  }
  return word.size() >= 2 && known.starts_with(word) ? std::min<std::size_t>(distance, 1)
                                                     : distance;
}

}  // namespace lb
