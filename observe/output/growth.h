// SPDX-License-Identifier: Apache-2.0
// Growth: figures and rows over time, kept while a tracer runs, and drawn as a line chart. One
// thread; the loop that reads a tracer adds each Report, svg.cc draws.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/output/svg_canvas.h"
#include "observe/report.h"

namespace lb::observe {

/// One line of the chart: (seconds, value in the base unit), in the order of time.
struct Series {
  std::string name;
  Unit unit = Unit::Count;
  std::vector<std::pair<double, double>> points;
};

/// Collects Series from the Reports of one tracer, in bounded memory: at most kPointsMax points in
/// time (when they are full every second one goes) of kRowsMax rows (when they are full the smaller
/// half goes; what comes again later starts anew).
class GrowthHistory {
 public:
  static constexpr std::size_t kPointsMax = 512;
  static constexpr std::size_t kRowsMax = 1024;

  /// Follows this measure (empty: the first), summed over rows of the same stack, or, where a row
  /// has none, of the same labels.
  explicit GrowthHistory(std::string measure = {}) : measure_(std::move(measure)) {}

  /// Errors: EINVAL, no such measure.
  [[nodiscard]] Status add(const Report& report);

  /// The total, then the `top` rows that are largest at the last Report.
  [[nodiscard]] std::vector<Series> series(std::size_t top) const;

 private:
  struct Line {
    std::string key;
    std::string name;
    std::vector<double> values;  // one for each of times_; not a number before it came
  };
  /// The value of each row key in this Report, and the total.
  double sum_rows(const Report& report, std::size_t measure);
  void drop_smaller_half();
  void thin();

  std::string measure_;
  Unit unit_ = Unit::Count;
  std::size_t stride_ = 1;  // one Report of so many is kept
  std::size_t added_ = 0;
  std::vector<double> times_;
  std::vector<double> total_;
  std::vector<Line> lines_;
  std::unordered_map<std::string, std::size_t> line_ids_;
};

/// Draws one chart for each unit, with axes and a legend, from `top` down; gives where it ends.
/// Points that are not finite are left out.
double draw_growth(SvgCanvas& canvas, const std::vector<Series>& series, double top);

}  // namespace lb::observe
