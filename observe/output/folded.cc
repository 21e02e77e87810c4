// SPDX-License-Identifier: Apache-2.0
#include "observe/output/folded.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ranges>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "observe/output/frame_text.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

/// ";" parts frames and a line's end parts stacks; printable() leaves no other control character.
std::string frame_name(std::string_view text) {
  std::string name = printable(text);
  std::ranges::replace(name, ';', ':');
  return name.empty() ? "?" : name;
}

std::string detail_of(const FrameText& text) {
  std::string detail;
  if (!text.module.empty()) {
    detail = text.module.starts_with('[') ? text.module : "[" + text.module + "]";
  }
  if (!text.source.empty()) detail += (detail.empty() ? "(" : " (") + text.source + ")";
  return printable(detail);
}

FoldedKind kind_of(const FrameText& text) {
  if (text.inlined) return FoldedKind::Inlined;
  return text.kind == FrameKind::Kernel ? FoldedKind::Kernel : FoldedKind::User;
}

}  // namespace

std::vector<FoldedFrame> folded_frames(const Report& report, const Row& row) {
  std::vector<FoldedFrame> frames;
  for (std::size_t i = 0; i < row.labels.size(); ++i) {
    const bool needed = report.dimensions[i] == "process" || row.stack == kNone;
    if (!needed || row.labels[i].empty()) continue;
    frames.push_back({frame_name(row.labels[i]), FoldedKind::Label, report.dimensions[i]});
  }
  if (row.stack == kNone) {
    if (frames.empty()) frames.push_back({"[no stack]", FoldedKind::Label, ""});
    return frames;
  }
  if (report.stacks[row.stack].cut) frames.push_back({"[cut]", FoldedKind::Cut, ""});
  for (const FrameText& text : std::views::reverse(stack_texts(report, row.stack))) {
    frames.push_back({frame_name(text.function), kind_of(text), detail_of(text)});
  }
  if (frames.empty()) frames.push_back({"[no stack]", FoldedKind::Label, ""});
  return frames;
}

std::string to_folded(const Report& report, std::size_t measure) {
  std::vector<std::pair<std::string, double>> lines;
  std::unordered_map<std::string, std::size_t> known;
  for (const Row& row : report.rows) {
    std::string line;
    for (const FoldedFrame& frame : folded_frames(report, row)) {
      if (!line.empty()) line += ';';
      line += frame.name;
      if (frame.kind == FoldedKind::Kernel) line += "_[k]";
      if (frame.kind == FoldedKind::Inlined) line += "_[i]";
    }
    const auto [place, is_new] = known.try_emplace(line, lines.size());
    if (is_new) lines.emplace_back(std::move(line), 0);
    lines[place->second].second += row.values[measure].value;
  }
  std::string out;
  for (const auto& [line, value] : lines) {
    if (std::isfinite(value) && std::round(value) > 0)
      out += fmt::format("{} {:.0f}\n", line, std::round(value));
  }
  return out;
}

}  // namespace lb::observe
