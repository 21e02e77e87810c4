// SPDX-License-Identifier: Apache-2.0
// What `observe pages` takes of the kernel's memory before its first event: 8 bytes a page frame,
// and in all what --dry-run says of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "observe/pages/page_tracer.h"
#include "tests/support/held_bytes.h"

namespace lb::observe {
namespace {

TEST(PagesMemory, IsEightBytesAFrameAndWhatThePlanSays) {
  PageTracer tracer{PagesOptions{}};
  const auto plan = tracer.plan();
  ASSERT_TRUE(plan) << plan.error().message;
  const auto attached = tracer.attach();
  ASSERT_TRUE(attached) << attached.error().message;
  const auto all = tracer.objects().front()->held();
  const auto frames = std::ranges::find(all, "page_frames", &BpfHeld::name);
  ASSERT_NE(frames, all.end());
  EXPECT_NEAR(static_cast<double>(frames->memory_bytes) / static_cast<double>(frames->entries_max),
              8, 0.1);
  const double held = test::held_bytes(tracer);
  RecordProperty("held_bytes", std::to_string(held));
  RecordProperty("planned_bytes", std::to_string(plan->memory_bytes));
  EXPECT_NEAR(plan->memory_bytes / held, 1, 0.25) << plan->memory_bytes << " of " << held;
}

}  // namespace
}  // namespace lb::observe
