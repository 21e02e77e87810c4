// SPDX-License-Identifier: Apache-2.0
// Tree: a TOML or JSON document as one plain value with the places it was read from, so that one
// reader serves the config file, the API and the state file, and the parsers' headers stay in one
// file each. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb {

/// A place in a text, from 1; 0: unknown (JSON).
struct Place {
  std::uint32_t line = 0, column = 0;
};

struct TreeEntry;

struct Tree {
  enum class Kind : std::uint8_t { Null, Bool, Integer, Float, String, Date, Array, Table };
  Kind kind = Kind::Null;
  bool boolean = false;
  std::int64_t integer = 0;        ///< a larger JSON integer is clamped
  std::string text;                ///< String
  std::vector<Tree> items;         ///< Array
  std::vector<TreeEntry> entries;  ///< Table; no key twice
  Place place;

  /// The entry of a table, or null.
  [[nodiscard]] const TreeEntry* find(std::string_view key) const;
};

struct TreeEntry {
  std::string key;
  Place key_place;
  Tree value;
};

/// "a table", "an integer", ...
[[nodiscard]] std::string_view kind_name(Tree::Kind kind);

/// Parses TOML 1.0 (toml_tree.cc has toml++). `filename` only names the text in the error:
/// "lbd.toml:3:7: ...". Errors: Refusal::BadConfig.
[[nodiscard]] Result<Tree> parse_toml(std::string_view text, const std::string& filename);
/// Parses JSON (json_tree.cc has Boost.JSON). Errors: Refusal::BadRequest.
[[nodiscard]] Result<Tree> parse_json(std::string_view text);

}  // namespace lb
