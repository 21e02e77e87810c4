// SPDX-License-Identifier: Apache-2.0
// Tables for people: columns as wide as they need to be, numbers to the right, colours only if
// asked for. One line a row with two blanks between columns, so that awk and cut can read them too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lb::client {

enum class Align : std::uint8_t { Left, Right };
enum class Tone : std::uint8_t { Plain, Good, Warn, Bad, Dim };

/// One cell: what it says, and how it is meant.
struct Cell {
  std::string text;
  Tone tone = Tone::Plain;
  Cell(std::string says, Tone meant = Tone::Plain) : text(std::move(says)), tone(meant) {}
  Cell(const char* says) : text(says) {}
};

struct Column {
  std::string title;
  Align align = Align::Left;
};

/// `text` in the colour of `tone`, or as it is when `colour` is off.
[[nodiscard]] std::string paint(std::string_view text, Tone tone, bool colour);

/// Columns a terminal needs for UTF-8 `text`: one a code point.
[[nodiscard]] std::size_t display_width(std::string_view text);

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// REQUIRES: as many cells as columns. An empty cell is shown as "-".
  void row(std::vector<Cell> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Header, rows, each line ended by '\n' and without trailing blanks.
  [[nodiscard]] std::string render(bool colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace lb::client
