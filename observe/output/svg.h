// SPDX-License-Identifier: Apache-2.0
// The picture of a Report: one SVG page that needs nothing beside it, with growth over time, flame
// graph and honesty line. Pure; render() (format.h) calls it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "observe/output/growth.h"
#include "observe/report.h"

namespace lb::observe {

struct SvgOptions {
  std::string title;           ///< empty: "lbctl observe" and the tracer's name
  std::size_t measure = 0;     ///< whose flame graph
  std::vector<Series> series;  ///< empty: no chart
};

/// Well-formed XML, whatever names are in the Report. REQUIRES: valid indices.
[[nodiscard]] std::string to_svg(const Report& report, const SvgOptions& options);

}  // namespace lb::observe
