// SPDX-License-Identifier: Apache-2.0
// What `observe leak` takes of the kernel's memory before its first event: within the limit, and
// what --dry-run says of it. The traced process is a child that waits to be let go, and does
// nothing meanwhile.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "observe/frame/child.h"
#include "observe/leak/heap_tracer.h"
#include "observe/symbols/symboliser.h"
#include "tests/support/held_bytes.h"

namespace lb::observe {
namespace {

TEST(LeakMemory, IsUnder16MegabytesAndWhatThePlanSays) {
  auto child = Child::start({"true"});
  ASSERT_TRUE(child) << child.error().message;
  HeapLeakOptions options;
  options.targets.everything = false;
  options.targets.pids = {static_cast<std::uint32_t>(child->pid())};
  Symboliser symbols;
  HeapTracer tracer(options, symbols);
  const auto plan = tracer.plan();
  ASSERT_TRUE(plan) << plan.error().message;
  const auto attached = tracer.attach();
  ASSERT_TRUE(attached) << attached.error().message;
  const auto report = tracer.read();
  ASSERT_TRUE(report) << report.error().message;
  // Of a report that the loop has not completed: the unwind tables, which are maps of their own.
  const double held = test::held_bytes(tracer) + report->honesty.memory_bytes;
  RecordProperty("held_bytes", std::to_string(held));
  RecordProperty("planned_bytes", std::to_string(plan->memory_bytes));
  EXPECT_LT(held, 16 << 20);
  EXPECT_NEAR(plan->memory_bytes / held, 1, 0.25) << plan->memory_bytes << " of " << held;
  EXPECT_GT(plan->memory_max_bytes, plan->memory_bytes);
}

}  // namespace
}  // namespace lb::observe
