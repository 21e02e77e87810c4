// SPDX-License-Identifier: Apache-2.0
#include "observe/output/aggregate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <unordered_map>
#include <utility>

#include "dataplane/base/text.h"
#include "observe/output/stack_tables.h"

namespace lb::observe {
namespace {

constexpr std::string_view kStack = "stack";

std::unexpected<Error> unknown(const Report& report, std::string_view what, std::string_view name,
                               const std::vector<std::string>& known) {
  const std::string near = nearest(name, known);
  return fail(EINVAL, fmt::format("{} has no {} {}; {}it has {}", report.tracer, what, quoted(name),
                                  near.empty() ? "" : fmt::format("did you mean {}? ", near),
                                  fmt::join(known, ", ")));
}

/// The sum of several rows' values of one measure, see aggregate().
class Sum {
 public:
  void add(const Value& value) {
    sum_ += value.value;
    below_ += (value.value - value.low) * (value.value - value.low);
    above_ += (value.high - value.value) * (value.high - value.value);
    low_max_ = count_ == 0 ? value.low : std::max(low_max_, value.low);
    high_sum_ += value.high;
    only_ = value;
    ++count_;
  }
  [[nodiscard]] Value value(Kind kind) const {
    if (count_ == 1) return only_;  // bit for bit
    if (kind == Kind::Peak) return {sum_, std::min(low_max_, sum_), high_sum_};
    return {sum_, sum_ - std::sqrt(below_), sum_ + std::sqrt(above_)};
  }

 private:
  double sum_ = 0, below_ = 0, above_ = 0, low_max_ = 0, high_sum_ = 0;
  std::size_t count_ = 0;
  Value only_;
};

/// Rows that become one.
struct Group {
  std::vector<std::string> labels;
  std::uint32_t stack = kNone;
  std::vector<Sum> sums;
  std::vector<Value> values;

  void add(const std::vector<Value>& more) {
    sums.resize(more.size());
    for (std::size_t i = 0; i < more.size(); ++i) sums[i].add(more[i]);
  }
  void finish(std::span<const Measure> measures) {
    for (std::size_t i = 0; i < sums.size(); ++i) values.push_back(sums[i].value(measures[i].kind));
  }
};

/// What is kept of a row: the dimensions by index, and whether the stack.
struct Choice {
  std::vector<std::size_t> dimensions;
  bool stack = false;
};

Result<Choice> choose(const Report& report, const std::vector<std::string>& by) {
  Choice choice;
  if (by.empty()) {
    for (std::size_t i = 0; i < report.dimensions.size(); ++i) {
      if (report.dimensions[i] != kSite) choice.dimensions.push_back(i);
    }
    choice.stack = true;
    return choice;
  }
  std::vector<std::string> known = report.dimensions;
  known.emplace_back(kStack);
  for (const std::string& name : by) {
    if (std::ranges::count(by, name) > 1) {
      return fail(EINVAL, fmt::format("dimension {} is given twice", quoted(name)));
    }
    const auto found = std::ranges::find(known, name);
    if (found == known.end()) return unknown(report, "dimension", name, known);
    if (name == kStack) {
      choice.stack = true;
    } else {
      choice.dimensions.push_back(static_cast<std::size_t>(found - known.begin()));
    }
  }
  return choice;
}

std::vector<Group> group_rows(const Report& report, const Choice& choice) {
  const auto same = choice.stack ? same_stacks(report) : std::vector<std::uint32_t>{};
  std::vector<Group> groups;
  std::unordered_map<std::string, std::size_t> known;
  for (const Row& row : report.rows) {
    const std::uint32_t stack = choice.stack && row.stack != kNone ? same[row.stack] : kNone;
    std::string key = fmt::format("{}", stack);
    for (std::size_t i : choice.dimensions) {
      fmt::format_to(std::back_inserter(key), " {}:{}", row.labels[i].size(), row.labels[i]);
    }
    const auto [place, is_new] = known.try_emplace(std::move(key), groups.size());
    if (is_new) {
      groups.push_back({{}, stack, {}, {}});
      for (std::size_t i : choice.dimensions) groups.back().labels.push_back(row.labels[i]);
    }
    groups[place->second].add(row.values);
  }
  return groups;
}

void order(std::vector<Group>& groups, std::size_t measure) {
  const auto rank = [measure](const Group& group) {
    const double value = group.values[measure].value;
    return std::isnan(value) ? -std::numeric_limits<double>::infinity() : value;
  };
  std::ranges::stable_sort(groups, std::greater<>{}, rank);
}

/// The stack of one frame that stands for rows which have no label to say it in.
std::uint32_t add_named_stack(Report& report, std::string name) {
  Frame frame;
  frame.kind = FrameKind::User;
  frame.places.push_back({std::move(name), "", 0, false});
  report.frames.push_back(std::move(frame));
  report.stacks.push_back({{static_cast<std::uint32_t>(report.frames.size() - 1)}, false});
  return static_cast<std::uint32_t>(report.stacks.size() - 1);
}

void add_others(Report& out, std::span<const Group> others) {
  Group rest;
  for (const Group& group : others) rest.add(group.values);
  rest.finish(out.measures);
  const std::string name = fmt::format("({} others)", others.size());
  Row row{std::vector<std::string>(out.dimensions.size()), kNone, std::move(rest.values)};
  if (row.labels.empty()) {
    row.stack = add_named_stack(out, name);
  } else {
    row.labels[0] = name;
  }
  out.rows.push_back(std::move(row));
}

}  // namespace

Result<std::size_t> find_measure(const Report& report, std::string_view name) {
  if (name.empty()) return 0;
  std::vector<std::string> known;
  for (const Measure& measure : report.measures) known.push_back(measure.name);
  const auto found = std::ranges::find(known, name);
  if (found == known.end()) return unknown(report, "measure", name, known);
  return static_cast<std::size_t>(found - known.begin());
}

Result<Report> aggregate(const Report& report, const AggregateOptions& options) {
  LB_TRY_ASSIGN(const std::size_t measure, find_measure(report, options.sort));
  LB_TRY_ASSIGN(const Choice choice, choose(report, options.by));
  std::vector<Group> groups = group_rows(report, choice);
  for (Group& group : groups) group.finish(report.measures);
  if (measure < report.measures.size()) order(groups, measure);

  Report out;
  out.tracer = report.tracer;
  out.at_s = report.at_s;
  out.wall_ms = report.wall_ms;
  out.figures = report.figures;
  out.sections = report.sections;
  out.honesty = report.honesty;
  out.measures = report.measures;
  for (std::size_t i : choice.dimensions) out.dimensions.push_back(report.dimensions[i]);
  const std::size_t kept = options.top == 0 ? groups.size() : std::min(options.top, groups.size());
  StackCopier stacks(report, out);
  for (std::size_t i = 0; i < kept; ++i) {
    Group& group = groups[i];
    out.rows.push_back(
        {std::move(group.labels), stacks.copy(group.stack), std::move(group.values)});
  }
  if (kept < groups.size()) add_others(out, std::span(groups).subspan(kept));
  const auto to_front = [measure](auto& list) {
    std::rotate(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(measure),
                list.begin() + static_cast<std::ptrdiff_t>(measure) + 1);
  };
  if (measure > 0) {
    to_front(out.measures);
    for (Row& row : out.rows) to_front(row.values);
  }
  return out;
}

}  // namespace lb::observe
