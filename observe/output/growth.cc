// SPDX-License-Identifier: Apache-2.0
// The drawing half of growth.h.
#include "observe/output/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "dataplane/base/units.h"
#include "observe/output/quantity.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

constexpr double kChartHeight = 200;
constexpr double kAxisWidth = 90;  // for the labels left of the chart
constexpr std::size_t kDrawnPointsMax = 1000;
// Apart for the colour-blind too (Okabe and Ito); the first is the total's.
constexpr std::array<std::string_view, 8> kColours{"#333333", "#0072b2", "#d55e00", "#009e73",
                                                   "#cc79a7", "#56b4e9", "#b8860b", "#7a5195"};

struct Axis {
  double low = 0, high = 1, step = 1;
};

/// The round number from `least` on: 1, 2, 5 times a power of ten, or a power of two.
double round_step(double least, bool binary) {
  if (binary) return std::exp2(std::ceil(std::log2(least)));
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

/// Seconds between marks of the time axis: as clocks are divided, above a minute.
double time_step(double least) {
  for (double step : {60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400}) {
    if (least > 30 && step >= least) return step;
  }
  return least > 86400 ? 86400 * round_step(least / 86400, false) : round_step(least, false);
}

bool is_bytes(Unit unit) { return unit == Unit::Bytes || unit == Unit::BytesPerSecond; }

Axis value_axis(double low, double high, Unit unit) {
  low = std::min(low, 0.0);
  high = std::max(high, 0.0);
  // Things that are counted have no halves.
  const double least = unit == Unit::Count || unit == Unit::Bytes ? 1 : 1e-3;
  if (high - low < least) high = low + least;
  const double step = std::max(round_step((high - low) / 5, is_bytes(unit)), least);
  return {std::floor(low / step) * step, std::ceil(high / step) * step, step};
}

std::string time_label(double seconds, double step) {
  if (seconds <= 0) return "0s";
  if (step < 1) return fmt::format("{:.{}f}s", seconds, step < 0.1 ? 2 : 1);
  return rough_duration(static_cast<std::uint64_t>(std::round(std::min(seconds * 1000, 1e15))));
}

/// The points that can be drawn, thinned evenly; the last one always.
std::vector<SvgCanvas::Point> drawable(const Series& series) {
  std::vector<SvgCanvas::Point> all, out;
  for (const auto& [at, value] : series.points) {
    if (std::isfinite(at) && std::isfinite(value)) all.push_back({at, value});
  }
  const std::size_t stride = all.size() / kDrawnPointsMax + 1;
  for (std::size_t i = 0; i < all.size(); i += stride) out.push_back(all[i]);
  if (stride > 1) out.push_back(all.back());
  return out;
}

/// The series of one unit.
class Chart {
 public:
  Chart(SvgCanvas& canvas, Unit unit, double top) : canvas_(canvas), unit_(unit), top_(top) {}

  void add(const Series& series) {
    lines_.push_back(drawable(series));
    names_.push_back(series.name);
  }

  double draw() {
    double low = 0, high = 0, start = std::numeric_limits<double>::infinity(), end = -start;
    for (const auto& line : lines_) {
      for (const auto& point : line) {
        low = std::min(low, point.y), high = std::max(high, point.y);
        start = std::min(start, point.x), end = std::max(end, point.x);
      }
    }
    if (start > end) return top_;  // not one point
    values_ = value_axis(low, high, unit_);
    start_ = start;
    end_ = end > start ? end : start + 1;
    grid();
    for (std::size_t i = lines_.size(); i-- > 0;) curve(i);  // the total above the others
    return legend();
  }

 private:
  [[nodiscard]] double x(double at) const {
    return kLeft + (at - start_) / (end_ - start_) * kWidth;
  }
  [[nodiscard]] double y(double value) const {
    return top_ + kChartHeight * (1 - (value - values_.low) / (values_.high - values_.low));
  }

  void grid() {
    const auto rows = static_cast<int>(std::lround((values_.high - values_.low) / values_.step));
    for (int i = 0; i <= std::min(rows, 20); ++i) {
      const double value = values_.low + i * values_.step;
      canvas_.line({kLeft, y(value)}, {kLeft + kWidth, y(value)},
                   i == 0 ? "class=\"axis\"" : "class=\"grid\"");
      canvas_.text(kLeft - 8, y(value) + 4, format_number(value, unit_), "class=\"end\"");
    }
    const double step = time_step((end_ - start_) / 10);
    const double first = std::ceil(start_ / step - 1e-9);
    for (int i = 0; i <= 20; ++i) {
      const double at = (first + i) * step;
      if (at > end_ + step * 1e-6) break;
      canvas_.line({x(at), top_ + kChartHeight}, {x(at), top_ + kChartHeight + 4},
                   "class=\"axis\"");
      canvas_.text(x(at), top_ + kChartHeight + 16, time_label(at, step), "class=\"mid\"");
    }
  }

  [[nodiscard]] static std::string stroke(std::size_t i) {
    // Past the last colour they come again, dashed.
    return fmt::format("stroke=\"{}\" stroke-width=\"{}\"{}", kColours[i % kColours.size()],
                       i == 0 ? 2 : 1.5, i < kColours.size() ? "" : " stroke-dasharray=\"5 3\"");
  }

  void curve(std::size_t i) {
    std::vector<SvgCanvas::Point> points;
    for (const auto& point : lines_[i]) points.push_back({x(point.x), y(point.y)});
    if (points.size() == 1) points.push_back({points[0].x + 2, points[0].y});
    canvas_.open_group("");
    canvas_.title(names_[i]);
    canvas_.polyline(points, "class=\"curve\" " + stroke(i));
    canvas_.close_group();
  }

  double legend() {
    double at = top_ + kChartHeight + 38;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const std::string last = lines_[i].empty() ? "-" : format_number(lines_[i].back().y, unit_);
      canvas_.line({kLeft, at - 4}, {kLeft + 24, at - 4}, stroke(i));
      canvas_.text(kLeft + 110, at, last, "class=\"end\"");
      canvas_.open_group("");
      canvas_.title(names_[i]);
      canvas_.text(kLeft + 122, at, cut_to(printable(names_[i]), characters_in(kWidth - 122)));
      canvas_.close_group();
      at += kLineHeight;
    }
    return at;
  }

  static constexpr double kLeft = kPageMargin + kAxisWidth;
  static constexpr double kWidth = kPageWidth - kPageMargin - kLeft - 20;

  SvgCanvas& canvas_;
  Unit unit_;
  double top_;
  Axis values_;
  double start_ = 0, end_ = 1;
  std::vector<std::vector<SvgCanvas::Point>> lines_;
  std::vector<std::string> names_;
};

}  // namespace

double draw_growth(SvgCanvas& canvas, const std::vector<Series>& series, double top) {
  std::vector<Unit> units;
  for (const Series& each : series) {
    if (std::ranges::find(units, each.unit) == units.end()) units.push_back(each.unit);
  }
  for (Unit unit : units) {
    Chart chart(canvas, unit, top + 10);
    for (const Series& each : series) {
      if (each.unit == unit) chart.add(each);
    }
    top = chart.draw() + 10;
  }
  return top;
}

}  // namespace lb::observe
