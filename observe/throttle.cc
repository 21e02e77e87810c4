// SPDX-License-Identifier: Apache-2.0
#include "observe/throttle.h"

namespace lb::observe {

void say_paused(Report& report) {
  for (Figure& figure : report.figures) {
    const bool outstanding = figure.name == "blocks" || figure.name.starts_with("leak");
    if (!outstanding && !figure.name.ends_with("_rate")) continue;
    figure.reliable = false;
    figure.help = "as it was when the budget took the tracer off: frees are not seen now";
  }
}

}  // namespace lb::observe
