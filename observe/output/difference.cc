// SPDX-License-Identifier: Apache-2.0
#include "observe/output/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/base/text.h"
#include "observe/output/aggregate.h"
#include "observe/output/honesty_fields.h"
#include "observe/output/quantity.h"
#include "observe/output/stack_tables.h"

namespace lb::observe {
namespace {

std::string names(const std::vector<Measure>& measures) {
  std::string out;
  for (const Measure& measure : measures) {
    fmt::format_to(std::back_inserter(out), "{} {} {}, ", measure.name, name_of(measure.unit),
                   name_of(measure.kind));
  }
  return out;
}

Status comparable(const Report& from, const Report& to) {
  const auto differ = [](std::string_view what, std::string_view a, std::string_view b) {
    return fail(EINVAL, fmt::format("the snapshots cannot be compared: {} {} and {}", what,
                                    quoted(a), quoted(b)));
  };
  if (from.tracer != to.tracer) return differ("tracers", from.tracer, to.tracer);
  if (from.dimensions != to.dimensions) {
    return differ("dimensions", fmt::format("{}", fmt::join(from.dimensions, " ")),
                  fmt::format("{}", fmt::join(to.dimensions, " ")));
  }
  if (const auto a = names(from.measures), b = names(to.measures); a != b) {
    return differ("measures", a, b);
  }
  return {};
}

Value minus(const Value& to, const Value& from) {
  const double value = to.value - from.value;
  return {value, value - std::hypot(to.value - to.low, from.high - from.value),
          value + std::hypot(to.high - to.value, from.value - from.low)};
}

/// Of the stack and all labels but the site, which follows from the names of frames, and those may
/// be lost. `alive`: as it was before its process ended.
std::string row_key(const Report& report, const Row& row, bool alive = false) {
  std::string key = stack_key(report, row.stack);
  for (std::size_t i = 0; i < row.labels.size(); ++i) {
    if (report.dimensions[i] == kSite) continue;
    std::string_view label = row.labels[i];
    if (alive && label.ends_with(kEnded)) label.remove_suffix(kEnded.size());
    fmt::format_to(std::back_inserter(key), " {}:{}", label.size(), label);
  }
  return key;
}

/// One row for each combination of all dimensions and stack.
Result<Report> whole(const Report& report) {
  AggregateOptions options;
  options.by = report.dimensions;
  options.by.emplace_back("stack");
  return aggregate(report, options);
}

/// One row's change, and whether there is one.
struct Change {
  std::vector<Value> values;
  bool any = false;

  void add(const Value& value, const Value& before, const Value& after) {
    values.push_back(value);
    any |= before != after;
  }
};

Change change_of(const std::vector<Measure>& measures, const std::vector<Value>* before,
                 const std::vector<Value>* after) {
  Change change;
  for (std::size_t i = 0; i < measures.size(); ++i) {
    const Value from = before == nullptr ? Value{} : (*before)[i];
    const bool level = measures[i].kind == Kind::Level;
    const Value to = after != nullptr ? (*after)[i] : level ? Value{} : from;
    change.add(measures[i].kind == Kind::Peak ? to : minus(to, from), from, to);
  }
  return change;
}

void add_figures(const Report& from, const Report& to, Report& out) {
  for (Figure figure : to.figures) {
    const auto before = std::ranges::find(from.figures, figure.name, &Figure::name);
    const bool stock = figure.unit == Unit::Count || figure.unit == Unit::Bytes ||
                       figure.unit == Unit::Nanoseconds;
    if (before != from.figures.end()) {
      if (stock) figure.value = minus(figure.value, before->value);
      if (!before->reliable && figure.reliable) {
        figure.reliable = false;
        figure.help = before->help;
      }
      if (stock && to.honesty.unobserved_s > from.honesty.unobserved_s) {
        figure.reliable = false;
        figure.help =
            "a pause of the budget lies between: what was there before it is in one alone";
      }
    }
    out.figures.push_back(std::move(figure));
  }
}

Honesty honesty_between(const Honesty& from, const Honesty& to) {
  Honesty out = to;
  for (const HonestyCounter& counter : kHonestyCounters) {
    const std::uint64_t before = from.*counter.member;
    const std::uint64_t after = to.*counter.member;
    out.*counter.member = after > before ? after - before : 0;
  }
  out.unobserved_s = std::max(0.0, to.unobserved_s - from.unobserved_s);
  return out;
}

}  // namespace

Result<Report> difference(const Report& before, const Report& after) {
  LB_TRY(comparable(before, after));
  // One row for each key on each side.
  LB_TRY_ASSIGN(const Report from, whole(before));
  LB_TRY_ASSIGN(const Report to, whole(after));
  std::unordered_map<std::string, const Row*> gone;
  for (const Row& row : from.rows) gone.emplace(row_key(from, row), &row);

  Report out;
  out.tracer = to.tracer;
  out.at_s = to.at_s;
  out.wall_ms = to.wall_ms;
  out.dimensions = to.dimensions;
  out.measures = to.measures;
  out.sections = to.sections;
  StackCopier to_stacks(to, out);
  for (const Row& row : to.rows) {
    auto old = gone.find(row_key(to, row));
    if (old == gone.end()) old = gone.find(row_key(to, row, true));
    const bool known = old != gone.end();
    Change change = change_of(to.measures, known ? &old->second->values : nullptr, &row.values);
    if (change.any) out.rows.push_back({row.labels, to_stacks.copy(row.stack), change.values});
    if (known) gone.erase(old);
  }
  StackCopier from_stacks(from, out);
  for (const Row& row : from.rows) {
    if (!gone.contains(row_key(from, row))) continue;
    Change change = change_of(to.measures, &row.values, nullptr);
    if (change.any) out.rows.push_back({row.labels, from_stacks.copy(row.stack), change.values});
  }
  add_figures(from, to, out);
  out.honesty = honesty_between(from.honesty, to.honesty);
  if (out.honesty.unobserved_s > 0) {
    out.honesty.notes.emplace_back(
        "a pause of the budget lies between: rows of before it are told as gone");
  }
  out.honesty.notes.push_back(fmt::format("difference to the snapshot of {}, {:.1f} s after attach",
                                          format_utc(from.wall_ms), from.at_s));
  return out;
}

}  // namespace lb::observe
