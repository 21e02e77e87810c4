// SPDX-License-Identifier: Apache-2.0
// TableReader: takes typed values out of a Tree and notes everything that is wrong instead of
// stopping at the first: wrong types, values out of range, unknown keys with the nearest known one.
// Any thread; the input is hostile.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/config.h"
#include "control/refusal.h"
#include "control/tree.h"

namespace lb {

/// How durations are written: TOML `interval = "5s"`, JSON `"interval_ms": 5000`.
enum class Notation : std::uint8_t { Toml, Json };

/// What is wrong with a document.
class Problems {
 public:
  Problems(Notation notation, std::string filename, ConfigKeys* keys = nullptr)
      : notation_(notation), filename_(std::move(filename)), keys_(keys) {}
  [[nodiscard]] Notation notation() const { return notation_; }
  /// `path` may be empty.
  void add(Place place, const std::string& path, const std::string& what);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] std::size_t count() const { return rows_.size(); }
  static constexpr std::size_t kShown = 50;
  /// One line a problem in the order of the text ("file:line:column: key: what"), at most 50.
  [[nodiscard]] std::unexpected<Error> refusal(Refusal why) const;
  void known(const std::string& path, bool present);

 private:
  struct Row {
    Place place;
    std::string text;
  };
  Notation notation_;
  std::string filename_;
  ConfigKeys* keys_;
  std::vector<Row> rows_;
};

template <class E>
struct Word {
  std::string_view text;
  E value;
};

class TableReader {
 public:
  /// `table` outlives the reader and is a table. `path`: its key path, "" at the top.
  TableReader(const Tree& table, std::string path, Problems& problems);

  // Each gives the value of `key`; nothing when it is absent, or wrong (which is noted).
  std::optional<std::string> string(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::uint32_t> integer(std::string_view key, std::uint32_t min, std::uint32_t max);
  std::optional<std::uint16_t> integer16(std::string_view key, std::uint16_t min,
                                         std::uint16_t max);
  std::optional<std::uint32_t> duration_ms(std::string_view key, std::uint32_t min,
                                           std::uint32_t max);
  std::optional<std::vector<int>> integers(std::string_view key, int min, int max);
  template <class E>
  std::optional<E> word(std::string_view key, std::initializer_list<Word<E>> words);
  /// Strings that a function understands: addresses and the like.
  template <class T>
  std::optional<T> parsed(std::string_view key, Result<T> (*parse)(std::string_view));
  /// A sub-table.
  const Tree* table(std::string_view key);
  /// An array of anything.
  const Tree* array(std::string_view key);
  /// An array of tables ([[key]]); those items that are tables.
  std::vector<const Tree*> tables(std::string_view key);

  /// The key stands there with the value null (JSON).
  [[nodiscard]] bool is_null(std::string_view key);
  [[nodiscard]] bool has(std::string_view key) const { return table_.find(key) != nullptr; }
  /// Notes a problem with a key's value, or, when it is absent, with the table.
  void problem(std::string_view key, const std::string& what);
  /// Notes an absent key that must be there.
  void require(std::string_view key, std::string_view example);
  /// Notes the keys nobody asked for. Call last.
  void finish();

  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] Problems& problems() { return problems_; }
  [[nodiscard]] Place place() const { return table_.place; }

 private:
  const TreeEntry* get(std::string_view key, Tree::Kind kind, std::string_view expected);
  std::optional<std::string> choose(std::string_view key, const std::vector<std::string_view>& all);
  const Tree& table_;
  std::string path_;
  Problems& problems_;
  std::vector<std::string> known_;
};

template <class E>
std::optional<E> TableReader::word(std::string_view key, std::initializer_list<Word<E>> words) {
  std::vector<std::string_view> all;
  for (const auto& one : words) all.push_back(one.text);
  auto text = choose(key, all);
  if (!text) return std::nullopt;
  for (const auto& one : words) {
    if (one.text == *text) return one.value;
  }
  return std::nullopt;
}

template <class T>
std::optional<T> TableReader::parsed(std::string_view key, Result<T> (*parse)(std::string_view)) {
  auto text = string(key);
  if (!text) return std::nullopt;
  auto value = parse(*text);
  if (value) return *value;
  problem(key, value.error().message);
  return std::nullopt;
}

}  // namespace lb
