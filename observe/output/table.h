// SPDX-License-Identifier: Apache-2.0
// A Report for people at a terminal. Pure; render() (format.h) calls it, the rows are what
// aggregate() left.
#pragma once

#include <string>

#include "observe/report.h"

namespace lb::observe {

struct TableOptions {
  bool human = true;    ///< units in three figures; else exact digits
  bool colour = false;  ///< escape sequences: titles bold, stacks dim
};

/// Title with tracer and time, figures, rows (measures and labels, beneath them the stack, leaf
/// first; a measure that is 0 in all of
/// them has no column), sections, notes, and last the honesty line. Estimates show their interval.
/// Whatever traced processes may have named is made printable(). Nothing is cut.
[[nodiscard]] std::string to_table(const Report& report, const TableOptions& options = {});

}  // namespace lb::observe
