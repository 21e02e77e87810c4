// SPDX-License-Identifier: Apache-2.0
#include "control/tree.h"

#include <fmt/format.h>

#include <algorithm>

namespace lb {

const TreeEntry* Tree::find(std::string_view key) const {
  auto at = std::ranges::find(entries, key, &TreeEntry::key);
  return at == entries.end() ? nullptr : &*at;
}

std::string_view kind_name(Tree::Kind kind) {
  switch (kind) {
    case Tree::Kind::Null:
      return "null";
    case Tree::Kind::Bool:
      return "a boolean";
    case Tree::Kind::Integer:
      return "an integer";
    case Tree::Kind::Float:
      return "a floating-point number";
    case Tree::Kind::String:
      return "a string";
    case Tree::Kind::Date:
      return "a date or time";
    case Tree::Kind::Array:
      return "an array";
    case Tree::Kind::Table:
      return "a table";
  }
  return "nothing";
}

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

}  // namespace lb
