// SPDX-License-Identifier: Apache-2.0
#include "observe/output/svg.h"

#include <fmt/format.h>

#include <string_view>

#include "observe/honesty.h"
#include "observe/output/flame_graph.h"
#include "observe/output/quantity.h"
#include "observe/output/svg_canvas.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

constexpr std::string_view kStyle = R"css(
text { font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #222222; }
.head { font-size: 16px; font-weight: bold; }
.bold { font-weight: bold; }
.quiet { fill: #666666; }
.end { text-anchor: end; }
.mid { text-anchor: middle; }
.button { fill: #0072b2; cursor: pointer; }
.axis { stroke: #888888; stroke-width: 1; }
.grid { stroke: #e4e4e4; stroke-width: 1; }
.curve { fill: none; stroke-linejoin: round; }
.f { cursor: pointer; }
.f text { pointer-events: none; }
.f:hover rect { stroke: #444444; stroke-width: 1; }
.below { opacity: 0.55; }
.hit rect { fill: #e879c9; }
)css";

double draw_lines(SvgCanvas& canvas, std::string_view words, double y, std::string_view style) {
  for (const std::string& line : wrapped(words, characters_in(kPageWidth - 2 * kPageMargin))) {
    canvas.text(kPageMargin, y, line, style);
    y += kLineHeight;
  }
  return y;
}

}  // namespace

std::string to_svg(const Report& report, const SvgOptions& options) {
  SvgCanvas canvas;
  const std::string title =
      options.title.empty() ? "lbctl observe " + report.tracer : options.title;
  // 16 px letters are half as wide again.
  canvas.text(kPageMargin, 30, cut_to(printable(title), characters_in(kPageWidth) / 3 * 2 - 8),
              "class=\"head\"");
  std::string facts =
      fmt::format("{}, {:.1f} s after attach", format_utc(report.wall_ms), report.at_s);
  for (const Figure& figure : report.figures) {
    facts += fmt::format(", {} {}", figure.name, format_value(figure.value, figure.unit));
  }
  double y = draw_lines(canvas, facts, 52, "class=\"quiet\"");
  if (!options.series.empty()) y = draw_growth(canvas, options.series, y);
  y = draw_flame_graph(canvas, report, options.measure, y + 4);
  for (const std::string& note : report.honesty.notes) {
    y = draw_lines(canvas, "note: " + note, y, "class=\"quiet\"");
  }
  y = draw_lines(canvas, honesty_line(report.honesty), y, "class=\"quiet\"");
  return canvas.document(y, kStyle, kFlameScript);
}

}  // namespace lb::observe
