// SPDX-License-Identifier: Apache-2.0
#include "observe/output/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "observe/honesty.h"
#include "observe/output/frame_text.h"
#include "observe/output/quantity.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

using Line = std::vector<std::string>;

/// Cells of lines under each other, two spaces apart; the last column is not filled up.
class Columns {
 public:
  /// The first `right` columns stand at the right edge.
  explicit Columns(std::size_t right) : right_(right) {}

  void fit(const Line& cells) {
    widths_.resize(std::max(widths_.size(), cells.size()));
    for (std::size_t i = 0; i < cells.size(); ++i) {
      widths_[i] = std::max(widths_[i], columns_of(cells[i]));
    }
  }
  [[nodiscard]] std::string line(const Line& cells) const {
    std::string out;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string gap(widths_[i] - columns_of(cells[i]), ' ');
      out += "  ";
      out += i < right_ ? gap + cells[i] : cells[i] + gap;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + "\n";
  }

 private:
  std::size_t right_;
  std::vector<std::size_t> widths_;
};

class Table {
 public:
  Table(const Report& report, const TableOptions& options) : report_(report), options_(options) {}

  std::string text() {
    title(fmt::format("{}, {:.1f} s after attach, {}", printable(report_.tracer), report_.at_s,
                      format_utc(report_.wall_ms)));
    figures();
    rows();
    for (const Section& section : report_.sections) add_section(section);
    if (!report_.honesty.notes.empty()) out_ += '\n';
    for (const std::string& note : report_.honesty.notes) out_ += "note: " + printable(note) + "\n";
    out_ += "\n" + honesty_line(report_.honesty) + "\n";
    return std::move(out_);
  }

 private:
  void styled(std::string_view code, std::string_view line) {
    if (options_.colour) {
      out_ += fmt::format("\x1b[{}m{}\x1b[0m", code, line);
    } else {
      out_ += line;
    }
  }

  void title(std::string_view line) {
    styled("1", line);
    out_ += '\n';
  }

  void figures() {
    Columns columns(0);
    std::vector<Line> lines;
    for (const Figure& figure : report_.figures) {
      std::string help = printable(figure.help);
      if (!figure.reliable) help.insert(0, "[not for --fail-if] ");
      lines.push_back({printable(figure.name),
                       format_value(figure.value, figure.unit, options_.human), std::move(help)});
      columns.fit(lines.back());
    }
    for (const Line& line : lines) out_ += columns.line(line);
  }

  /// The first measure, and of the others those that say something: a column of zeros is left out.
  [[nodiscard]] std::vector<std::size_t> shown_measures() const {
    std::vector<std::size_t> shown;
    for (std::size_t i = 0; i < report_.measures.size(); ++i) {
      const bool says = std::ranges::any_of(
          report_.rows, [i](const Row& row) { return row.values[i] != Value(0.0); });
      if (i == 0 || says) shown.push_back(i);
    }
    return shown;
  }

  void rows() {
    if (report_.rows.empty()) return;
    const auto shown = shown_measures();
    Columns columns(shown.size());
    Line head;
    for (const std::size_t i : shown) head.push_back(printable(report_.measures[i].name));
    for (const std::string& dimension : report_.dimensions) head.push_back(printable(dimension));
    columns.fit(head);
    std::vector<Line> lines;
    for (const Row& row : report_.rows) {
      Line& line = lines.emplace_back();
      for (const std::size_t i : shown) {
        line.push_back(format_value(row.values[i], report_.measures[i].unit, options_.human));
      }
      for (const std::string& label : row.labels) line.push_back(printable(label));
      columns.fit(line);
    }
    out_ += '\n';
    std::string heading = columns.line(head);
    heading.pop_back();
    title(heading);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      out_ += columns.line(lines[i]);
      stack(report_.rows[i].stack);
    }
  }

  void stack(std::uint32_t stack) {
    if (stack == kNone) return;
    for (const FrameText& frame : stack_texts(report_, stack)) {
      std::string line = "      " + printable(frame.function);
      if (frame.inlined) {
        line += " [inlined]";
      } else if (frame.resolved && !frame.module.empty()) {
        line += frame.module.starts_with('[') ? " " + printable(frame.module)
                                              : " [" + printable(frame.module) + "]";
      }
      if (!frame.source.empty()) line += " (" + printable(frame.source) + ")";
      styled("2", line);
      out_ += '\n';
    }
    if (report_.stacks[stack].cut) {
      styled("2", "      [cut]");
      out_ += '\n';
    }
  }

  void add_section(const Section& section) {
    out_ += '\n';
    title(printable(section.title));
    Columns columns(0);
    std::vector<Line> lines;
    const auto add = [&](const Line& cells) {
      Line& line = lines.emplace_back();
      for (const std::string& cell : cells) line.push_back(printable(cell));
      columns.fit(line);
    };
    if (!section.columns.empty()) add(section.columns);
    for (const Line& line : section.lines) add(line);
    for (const Line& line : lines) out_ += columns.line(line);
  }

  const Report& report_;
  const TableOptions& options_;
  std::string out_;
};

}  // namespace

std::string to_table(const Report& report, const TableOptions& options) {
  return Table(report, options).text();
}

}  // namespace lb::observe
