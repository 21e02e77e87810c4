// SPDX-License-Identifier: Apache-2.0
// Flame graph: the rows of a Report as a picture in which width is the measure and the root is at
// the bottom. Pure; svg.cc puts it on its page.
#pragma once

#include <cstddef>
#include <string_view>

#include "observe/output/svg_canvas.h"
#include "observe/report.h"

namespace lb::observe {

/// Draws it from `top` down, with a heading; gives where it ends. Rows whose value is not above
/// zero are counted and left out. What is narrower than a third of a pixel is not drawn, nor what
/// is deeper than 500 functions. REQUIRES: valid indices.
double draw_flame_graph(SvgCanvas& canvas, const Report& report, std::size_t measure, double top);

/// Zooms on a click and searches on "/"; without it the picture is the same, and still. For
/// SvgCanvas::document().
extern const std::string_view kFlameScript;

}  // namespace lb::observe
