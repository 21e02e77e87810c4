// SPDX-License-Identifier: Apache-2.0
#include "control/client/table.h"

#include <algorithm>

#include "control/client/escape.h"
#include "dataplane/base/assert.h"

namespace lb::client {
namespace {

std::string_view escape_of(Tone tone) {
  switch (tone) {
    case Tone::Plain:
      return "";
    case Tone::Good:
      return "\x1b[32m";
    case Tone::Warn:
      return "\x1b[33m";
    case Tone::Bad:
      return "\x1b[31m";
    case Tone::Dim:
      return "\x1b[2m";
  }
  return "";
}

void pad(std::string& line, std::size_t count) { line.append(count, ' '); }

}  // namespace

std::string paint(std::string_view text, Tone tone, bool colour) {
  auto escape = escape_of(tone);
  if (!colour || escape.empty()) return std::string(text);
  std::string out(escape);
  out += text;
  out += "\x1b[0m";
  return out;
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void Table::row(std::vector<Cell> cells) {
  LB_ASSERT(cells.size() == columns_.size());
  for (Cell& cell : cells) cell.text = cell.text.empty() ? "-" : printable(cell.text);
  rows_.push_back(std::move(cells));
}

std::string Table::render(bool colour) const {
  std::vector<std::size_t> widths;
  widths.reserve(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = display_width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
  }
  std::string out;
  auto line = [&](auto&& cell_at) {
    std::string text;
    std::size_t owed = 0;  // blanks that are only written when something follows
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const Cell& cell = cell_at(i);
      std::size_t gap = widths[i] - display_width(cell.text);
      bool right = columns_[i].align == Align::Right;
      pad(text, owed + (right ? gap : 0));
      text += paint(cell.text, cell.tone, colour);
      owed = 2 + (right ? 0 : gap);
    }
    out += text + "\n";
  };
  std::vector<Cell> titles;
  titles.reserve(columns_.size());
  for (const auto& column : columns_) titles.emplace_back(column.title, Tone::Dim);
  line([&](std::size_t i) -> const Cell& { return titles[i]; });
  for (const auto& row : rows_) line([&](std::size_t i) -> const Cell& { return row[i]; });
  return out;
}

}  // namespace lb::client
