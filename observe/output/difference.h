// SPDX-License-Identifier: Apache-2.0
// Difference: what changed between two snapshots of one tracer (--since-mark, two records). Pure.
#pragma once

#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

/// `after` minus `before`. Rows are the same when their labels are and what their stacks consist of
/// (stack_key), whatever their indices, the site and whether the process has ended meanwhile; a row
/// of only one side has zeros on the other. Levels and totals: after - before; peaks: after's.
/// Where only `before` has the row, its totals and peaks count as unchanged. Intervals widen:
/// half-widths add in quadrature. Rows in which nothing changed are left out; the rest stand in the
/// order that `after` has by its first measure, then those that are gone.
///
/// Figures: after - before by name; rates and percentages are after's, and so is a figure that
/// `before` has not. A pause of the budget between the two makes stocks unreliable. Counters of
/// honesty: after - before; its other numbers, time, sections: after's.
///
/// Errors: EINVAL, different tracers, dimensions or measures, with what differs.
[[nodiscard]] Result<Report> difference(const Report& before, const Report& after);

}  // namespace lb::observe
