// SPDX-License-Identifier: Apache-2.0
// The collecting half of growth.h; growth.cc draws.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "observe/output/aggregate.h"
#include "observe/output/frame_text.h"
#include "observe/output/growth.h"
#include "observe/output/stack_tables.h"

namespace lb::observe {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// "malloc < make_buffer < main", or the labels.
std::string row_name(const Report& report, const Row& row) {
  constexpr std::size_t kFunctions = 4;
  if (row.stack == kNone) return fmt::format("{}", fmt::join(row.labels, ", "));
  std::string name;
  const auto texts = stack_texts(report, row.stack);
  for (std::size_t i = 0; i < std::min(texts.size(), kFunctions); ++i) {
    name += (i == 0 ? "" : " < ") + texts[i].function;
  }
  return name;
}

std::string row_key(const Report& report, const Row& row) {
  if (row.stack != kNone) return stack_key(report, row.stack);
  return fmt::format("labels {}", fmt::join(row.labels, "\n"));
}

void keep_every_second(std::vector<double>& values) {
  for (std::size_t i = 0; 2 * i < values.size(); ++i) values[i] = values[2 * i];
  values.resize((values.size() + 1) / 2);
}

}  // namespace

Status GrowthHistory::add(const Report& report) {
  LB_TRY_ASSIGN(const std::size_t measure, find_measure(report, measure_));
  if (measure >= report.measures.size()) return {};  // a tracer without measures
  if (added_++ % stride_ != 0) return {};
  unit_ = report.measures[measure].unit;
  measure_ = report.measures[measure].name;
  times_.push_back(report.at_s);
  for (Line& line : lines_) line.values.push_back(0);
  total_.push_back(sum_rows(report, measure));
  if (times_.size() == kPointsMax) thin();
  return {};
}

double GrowthHistory::sum_rows(const Report& report, std::size_t measure) {
  double total = 0;
  for (const Row& row : report.rows) {
    const double value = row.values[measure].value;
    total += value;
    std::string key = row_key(report, row);
    auto known = line_ids_.find(key);
    if (known == line_ids_.end()) {
      if (lines_.size() == kRowsMax) drop_smaller_half();
      known = line_ids_.emplace(key, lines_.size()).first;
      lines_.push_back({std::move(key), row_name(report, row), {}});
      lines_.back().values.assign(times_.size(), kUnknown);
      lines_.back().values.back() = 0;
    }
    lines_[known->second].values.back() += value;
  }
  return total;
}

void GrowthHistory::drop_smaller_half() {
  const auto last = [](const Line& line) { return line.values.back(); };
  std::ranges::sort(lines_, std::greater<>{}, last);
  lines_.resize(lines_.size() / 2);
  line_ids_.clear();
  for (std::size_t i = 0; i < lines_.size(); ++i) line_ids_.emplace(lines_[i].key, i);
}

void GrowthHistory::thin() {
  keep_every_second(times_);
  keep_every_second(total_);
  for (Line& line : lines_) keep_every_second(line.values);
  stride_ *= 2;
}

std::vector<Series> GrowthHistory::series(std::size_t top) const {
  if (times_.empty()) return {};
  std::vector<const Line*> order;
  for (const Line& line : lines_) order.push_back(&line);
  std::ranges::stable_sort(order, std::greater<>{},
                           [](const Line* line) { return line->values.back(); });
  order.resize(std::min(top, order.size()));
  std::vector<Series> out;
  const auto add = [&](std::string name, const std::vector<double>& values) {
    Series& series = out.emplace_back(std::move(name), unit_);
    for (std::size_t i = 0; i < values.size(); ++i)
      series.points.emplace_back(times_[i], values[i]);
  };
  add("total " + measure_, total_);
  for (const Line* line : order) add(line->name, line->values);
  return out;
}

}  // namespace lb::observe
