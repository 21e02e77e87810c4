// SPDX-License-Identifier: Apache-2.0
#include "control/tree_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "dataplane/base/text.h"
#include "dataplane/base/units.h"

namespace lb {

void Problems::add(Place place, const std::string& path, const std::string& what) {
  rows_.push_back({place, path.empty() ? what : path + ": " + what});
}

void Problems::known(const std::string& path, bool present) {
  if (keys_ == nullptr) return;
  keys_->known.insert(path);
  if (present) keys_->present.insert(path);
}

std::unexpected<Error> Problems::refusal(Refusal why) const {
  std::vector<const Row*> sorted;
  for (const Row& row : rows_) sorted.push_back(&row);
  std::ranges::sort(sorted, {}, [](const Row* row) {  // at one place in the order they were found
    return std::tuple(row->place.line, row->place.column, row);
  });
  std::string text;
  for (std::size_t i = 0; i < std::min(sorted.size(), kShown); ++i) {
    const Row& row = *sorted[i];
    if (!text.empty()) text += '\n';
    if (!filename_.empty()) text += filename_ + ':';
    if (row.place.line != 0) text += fmt::format("{}:{}:", row.place.line, row.place.column);
    if (!filename_.empty()) text += ' ';
    text += row.text;
  }
  if (sorted.size() > kShown) text += fmt::format("\nand {} more errors", sorted.size() - kShown);
  return refuse(why, std::move(text));
}

TableReader::TableReader(const Tree& table, std::string path, Problems& problems)
    : table_(table), path_(std::move(path)), problems_(problems) {}

std::string TableReader::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void TableReader::problem(std::string_view key, const std::string& what) {
  const TreeEntry* entry = table_.find(key);
  problems_.add(entry != nullptr ? entry->value.place : table_.place, path_of(key), what);
}

void TableReader::require(std::string_view key, std::string_view example) {
  if (!has(key)) problem(key, fmt::format("is missing (write {})", example));
}

const TreeEntry* TableReader::get(std::string_view key, Tree::Kind kind,
                                  std::string_view expected) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  const TreeEntry* entry = table_.find(key);
  problems_.known(path_of(key), entry != nullptr);
  if (entry == nullptr) return nullptr;
  if (entry->value.kind == kind) return entry;
  problem(key,
          fmt::format("{} stands here, {} belongs here", kind_name(entry->value.kind), expected));
  return nullptr;
}

bool TableReader::is_null(std::string_view key) {
  const TreeEntry* entry = table_.find(key);
  if (entry == nullptr || entry->value.kind != Tree::Kind::Null) return false;
  known_.emplace_back(key);
  return true;
}

std::optional<std::string> TableReader::string(std::string_view key) {
  const TreeEntry* entry = get(key, Tree::Kind::String, "a string");
  if (entry == nullptr) return std::nullopt;
  return entry->value.text;
}

std::optional<bool> TableReader::boolean(std::string_view key) {
  const TreeEntry* entry = get(key, Tree::Kind::Bool, "true or false");
  if (entry == nullptr) return std::nullopt;
  return entry->value.boolean;
}

std::optional<std::uint32_t> TableReader::integer(std::string_view key, std::uint32_t min,
                                                  std::uint32_t max) {
  auto expected = fmt::format("an integer from {} to {}", min, max);
  const TreeEntry* entry = get(key, Tree::Kind::Integer, expected);
  if (entry == nullptr) return std::nullopt;
  std::int64_t value = entry->value.integer;
  if (value < min || value > max) {
    problem(key, fmt::format("{} is out of range (write {})", value, expected));
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(value);
}

std::optional<std::uint16_t> TableReader::integer16(std::string_view key, std::uint16_t min,
                                                    std::uint16_t max) {
  auto value = integer(key, min, max);
  if (!value) return std::nullopt;
  return static_cast<std::uint16_t>(*value);
}

std::optional<std::uint32_t> TableReader::duration_ms(std::string_view key, std::uint32_t min,
                                                      std::uint32_t max) {
  if (problems_.notation() == Notation::Json) return integer(fmt::format("{}_ms", key), min, max);
  const TreeEntry* entry =
      get(key, Tree::Kind::String, "a duration in quotes such as \"200ms\", \"5s\" or \"15m\"");
  if (entry == nullptr) return std::nullopt;
  auto value = parse_duration(entry->value.text);
  if (!value) {
    problem(key, value.error().message);
    return std::nullopt;
  }
  if (*value < min || *value > max) {
    problem(key, fmt::format("{} is out of range (write {} to {})", quoted(entry->value.text),
                             format_duration(min), format_duration(max)));
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*value);
}

std::optional<std::vector<int>> TableReader::integers(std::string_view key, int min, int max) {
  const TreeEntry* entry = get(key, Tree::Kind::Array, "an array of integers");
  if (entry == nullptr) return std::nullopt;
  std::vector<int> values;
  for (const Tree& item : entry->value.items) {
    if (item.kind != Tree::Kind::Integer || item.integer < min || item.integer > max) {
      problems_.add(item.place, path_of(key),
                    fmt::format("integers from {} to {} belong here", min, max));
      return std::nullopt;
    }
    values.push_back(static_cast<int>(item.integer));
  }
  return values;
}

std::optional<std::string> TableReader::choose(std::string_view key,
                                               const std::vector<std::string_view>& all) {
  auto expected = fmt::format("one of \"{}\"", fmt::join(all, "\", \""));
  const TreeEntry* entry = get(key, Tree::Kind::String, expected);
  if (entry == nullptr) return std::nullopt;
  const std::string& text = entry->value.text;
  if (std::ranges::find(all, text) != all.end()) return text;
  auto near = nearest(text, all);
  problem(key, near.empty() ? fmt::format("{} is not known (write {})", quoted(text), expected)
                            : fmt::format("{} is not known; did you mean \"{}\"? (write {})",
                                          quoted(text), near, expected));
  return std::nullopt;
}

const Tree* TableReader::table(std::string_view key) {
  const TreeEntry* entry = get(key, Tree::Kind::Table, "a table");
  return entry == nullptr ? nullptr : &entry->value;
}

const Tree* TableReader::array(std::string_view key) {
  const TreeEntry* entry = get(key, Tree::Kind::Array, "an array");
  return entry == nullptr ? nullptr : &entry->value;
}

std::vector<const Tree*> TableReader::tables(std::string_view key) {
  auto expected = problems_.notation() == Notation::Json
                      ? std::string("an array of objects")
                      : fmt::format("[[{}]] with two brackets", path_of(key));
  const TreeEntry* entry = get(key, Tree::Kind::Array, expected);
  std::vector<const Tree*> all;
  if (entry == nullptr) return all;
  for (const Tree& item : entry->value.items) {
    if (item.kind == Tree::Kind::Table) {
      all.push_back(&item);
    } else {
      problems_.add(item.place, path_of(key),
                    fmt::format("{} stands here, {} belongs here", kind_name(item.kind), expected));
    }
  }
  return all;
}

void TableReader::finish() {
  for (const TreeEntry& entry : table_.entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    if (problems_.count() > Problems::kShown) {  // nobody reads on; do not search for neighbours
      problems_.add(entry.key_place, "", "unknown key");
      continue;
    }
    auto near = nearest(entry.key, known_);
    auto path = path_.empty() ? std::string() : fmt::format("{}: ", path_);
    if (!near.empty()) {
      problems_.add(
          entry.key_place, "",
          fmt::format("{}unknown key {}; did you mean \"{}\"?", path, quoted(entry.key), near));
    } else {
      problems_.add(entry.key_place, "",
                    fmt::format("{}unknown key {} (known here: {})", path, quoted(entry.key),
                                fmt::join(known_, ", ")));
    }
  }
}

}  // namespace lb
