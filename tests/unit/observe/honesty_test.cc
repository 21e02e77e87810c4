// SPDX-License-Identifier: Apache-2.0
// The honesty line.
#include "observe/honesty.h"

#include <gtest/gtest.h>

namespace lb::observe {
namespace {

TEST(Honesty, ShowsEveryNumberAlsoWhenItIsZero) {
  EXPECT_EQ(honesty_line({}),
            "events 0, lost 0, missed 0, maps full 0, stacks lost 0, stacks cut 0, frees not "
            "visible 0, frees of earlier blocks 0, unobserved 0 ns, cost not measured, 0.0 % CPU, "
            "memory 0 B");
}

TEST(Honesty, ShowsWholeCountersAndHumanUnits) {
  Honesty honesty;
  honesty.events = 123'456'789;
  honesty.lost = 1;
  honesty.missed = 2;
  honesty.map_full = 3;
  honesty.stacks_lost = 4;
  honesty.stacks_cut = 5;
  honesty.frees_hidden = 6;
  honesty.frees_unknown = 7;
  honesty.unobserved_s = 1.5;
  honesty.cost_ns = 84.2;
  honesty.cpu_percent = 0.31;
  honesty.memory_bytes = 5.2 * 1024 * 1024;
  honesty.notes = {"not in the line"};
  EXPECT_EQ(honesty_line(honesty),
            "events 123456789, lost 1, missed 2, maps full 3, stacks lost 4, stacks cut 5, frees "
            "not visible 6, frees of earlier blocks 7, unobserved 1.50 s, cost 84.2 ns/run, 0.3 % "
            "CPU, memory 5.20 MiB");
}

}  // namespace
}  // namespace lb::observe
