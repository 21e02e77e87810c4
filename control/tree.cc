// SPDX-License-Identifier: Apache-2.0
#include "control/tree.h"

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

}  // namespace lb
