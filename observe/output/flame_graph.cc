// SPDX-License-Identifier: Apache-2.0
#include "observe/output/flame_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "dataplane/base/units.h"
#include "observe/output/flame_tree.h"
#include "observe/output/quantity.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

constexpr std::size_t kDepthMax = 500;
constexpr double kThinnest = 0.3;
constexpr double kFrameHeight = 16;
constexpr double kGraphWidth = kPageWidth - 2 * kPageMargin;

struct Colour {
  int red, green, blue;
};
// Quiet, and light enough for black text.
constexpr std::array<std::pair<std::string_view, Colour>, 5> kColours{{
    {"process", {216, 216, 216}},
    {"user", {240, 192, 134}},
    {"inlined", {190, 212, 158}},
    {"kernel", {158, 190, 220}},
    {"callers not known", {208, 186, 222}},
}};

Colour colour_of(FoldedKind kind) { return kColours[std::to_underlying(kind)].second; }

/// Neighbours differ a little, the same function has the same shade everywhere (FNV-1a).
std::string shade(FoldedKind kind, std::string_view name) {
  std::uint32_t hash = 2166136261U;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  const int by = kind == FoldedKind::Label ? 0 : static_cast<int>(hash >> 16) % 29 - 14;
  const auto channel = [by](int base) { return std::clamp(base + by, 0, 255); };
  const Colour colour = colour_of(kind);
  return fmt::format("#{:02x}{:02x}{:02x}", channel(colour.red), channel(colour.green),
                     channel(colour.blue));
}

class FlameGraph {
 public:
  FlameGraph(SvgCanvas& canvas, const FlameTree& tree, const Measure& measure)
      : canvas_(canvas), tree_(tree), measure_(measure), all_(tree.nodes[0].value) {}

  double draw(double top) {
    top = heading(top + 14);
    std::uint32_t deepest = 0;
    for (const FlameNode& node : tree_.nodes) {
      if (node.value / all_ * kGraphWidth >= kThinnest) deepest = std::max(deepest, node.depth);
    }
    bottom_ = top + (deepest + 1) * kFrameHeight;
    canvas_.open_group(
        fmt::format("id=\"flame\" data-left=\"{}\" data-width=\"{}\" data-char=\"{}\"", kPageMargin,
                    kGraphWidth, kCharWidth));
    for (const FlameNode& node : tree_.nodes) frame(node);
    canvas_.close_group();
    return bottom_ + kLineHeight;
  }

 private:
  double heading(double y) {
    std::string words =
        fmt::format("{} by stack: {} in all", measure_.name, format_number(all_, measure_.unit));
    if (tree_.rows_left_out > 0) {
      words +=
          fmt::format("; {} with nothing above zero left out", counted(tree_.rows_left_out, "row"));
    }
    if (tree_.cut) words += fmt::format("; cut at {} functions", kDepthMax);
    canvas_.text(kPageMargin, y, words, "class=\"bold\"");
    canvas_.text(kPageWidth - kPageMargin, y, "Search (/)", "id=\"search\" class=\"end button\"");
    canvas_.text(kPageWidth - kPageMargin - 90, y, "Show all (Esc)",
                 "id=\"reset\" class=\"end button\"");
    y += kLineHeight + 3;
    double x = kPageMargin;
    for (std::size_t i = 0; i < kColours.size(); ++i) {
      canvas_.rect(x, y - 9, 12, 11,
                   fmt::format("fill=\"{}\"", shade_of_legend(static_cast<FoldedKind>(i))));
      canvas_.text(x + 17, y, kColours[i].first);
      x += 17 + kCharWidth * static_cast<double>(kColours[i].first.size()) + 18;
    }
    canvas_.text(kPageWidth - kPageMargin, y, "", "id=\"found\" class=\"end\"");
    return y + 10;
  }

  static std::string shade_of_legend(FoldedKind kind) {
    const Colour colour = colour_of(kind);
    return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue);
  }

  void frame(const FlameNode& node) {
    const double x = node.start / all_, share = node.value / all_;
    const double width = share * kGraphWidth;
    if (width < kThinnest) return;
    const double y = bottom_ - (node.depth + 1) * kFrameHeight;
    canvas_.open_group(fmt::format("class=\"f\" data-x=\"{:.8f}\" data-w=\"{:.8f}\" data-d=\"{}\"",
                                   x, share, node.depth));
    canvas_.title(fmt::format("{}\n{}{}{}, {:.1f} % of all", node.name, node.detail,
                              node.detail.empty() ? "" : "\n",
                              format_number(node.value, measure_.unit), 100 * share));
    canvas_.rect(kPageMargin + x * kGraphWidth, y, width, kFrameHeight - 1,
                 fmt::format("fill=\"{}\"", shade(node.kind, node.name)));
    const std::size_t room = characters_in(width - 6);
    canvas_.text(kPageMargin + x * kGraphWidth + 3, y + 11.5,
                 room < 3 ? "" : cut_to(node.name, room));
    canvas_.close_group();
  }

  SvgCanvas& canvas_;
  const FlameTree& tree_;
  const Measure& measure_;
  double all_;
  double bottom_ = 0;
};

}  // namespace

double draw_flame_graph(SvgCanvas& canvas, const Report& report, std::size_t measure, double top) {
  if (measure >= report.measures.size()) return top;
  const FlameTree tree = flame_tree(report, measure, kDepthMax);
  if (tree.nodes[0].value > 0) {
    return FlameGraph(canvas, tree, report.measures[measure]).draw(top);
  }
  canvas.text(kPageMargin, top + 14,
              fmt::format("{} by stack: nothing above zero", report.measures[measure].name),
              "class=\"bold\"");
  return top + 2 * kLineHeight;
}

}  // namespace lb::observe
