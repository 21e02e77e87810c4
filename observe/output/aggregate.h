// SPDX-License-Identifier: Apache-2.0
// Aggregate: the rows of a Report grouped, summed, ordered and cut to the largest, as --by, --sort
// and --top ask. Pure; render() (format.h) calls it before each output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

struct AggregateOptions {
  std::vector<std::string> by;  ///< dimensions, and "stack"; empty: all, as the tracer has them
  std::string sort;             ///< a measure; empty: the first
  std::size_t top = 0;          ///< rows kept; 0: all
};

/// The index of the measure of this name; of "" it is 0. Errors: EINVAL, with the nearest known.
[[nodiscard]] Result<std::size_t> find_measure(const Report& report, std::string_view name);

/// The Report with one row for each combination of the chosen dimensions, in that order. Stacks are
/// the same when their functions, objects and offsets are, in whatever process.
///
/// Levels and totals add up; of estimates the half-widths of the interval add in quadrature, each
/// side for itself (rows are independent). Peaks add up too, which is an upper bound: `low` is the
/// largest of the peaks, `high` the sum.
///
/// The measure `sort` becomes the first; rows are in its descending order, equal ones as they came.
/// Past `top` they are one row "(N others)": under that label in the first dimension, or without
/// dimensions as a stack of one frame of that name. Tables hold what the rows need.
///
/// Errors: EINVAL, a dimension or measure that there is not, with the nearest known, or one twice.
[[nodiscard]] Result<Report> aggregate(const Report& report, const AggregateOptions& options);

}  // namespace lb::observe
