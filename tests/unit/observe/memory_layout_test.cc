// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/memory_layout.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "bpf/observe_pages.h"

namespace lb::observe {
namespace {

TEST(MemoryLayout, LeavesHolesOut) {
  auto layout = parse_iomem(
      "00000000-00000fff : Reserved\n"
      "00001000-0009fbff : System RAM\n"
      "00100000-0fffffff : System RAM\n"
      "  01000000-01ffffff : Kernel code\n"
      "100000000-107ffffff : System RAM\n");
  ASSERT_TRUE(layout) << layout.error().message;
  ASSERT_EQ(layout->start.size(), 33U);
  EXPECT_EQ(layout->start[0], 0U);
  EXPECT_EQ(layout->start[1], OBSERVE_SECTION_FRAMES);
  EXPECT_EQ(layout->start[2], OBSERVE_SECTION_ABSENT);
  EXPECT_EQ(layout->start[31], OBSERVE_SECTION_ABSENT);
  EXPECT_EQ(layout->start[32], 2U * OBSERVE_SECTION_FRAMES);
  EXPECT_EQ(layout->entries, 3U * OBSERVE_SECTION_FRAMES);
}

TEST(MemoryLayout, TakesASectionOfWhichThereIsOneFrame) {
  auto layout = parse_iomem("08000000-08000fff : System RAM\n");
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->start.size(), 2U);
  EXPECT_EQ(layout->entries, static_cast<std::uint32_t>(OBSERVE_SECTION_FRAMES));
}

TEST(MemoryLayout, SaysWhenItIsHiddenEmptyOrTooLarge) {
  auto hidden = parse_iomem("00000000-00000000 : System RAM\n00000000-00000000 : System RAM\n");
  ASSERT_FALSE(hidden);
  EXPECT_EQ(hidden.error().code.value(), EPERM);
  auto none = parse_iomem("");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code.value(), EINVAL);
  auto large = parse_iomem("00001000-fffffffffffff : System RAM\n");
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code.value(), EFBIG);
}

TEST(MemoryLayout, LinesThatAreNoRangesAreLeftOut) {
  auto layout = parse_iomem(
      "zz-10 : System RAM\n00002000 : System RAM\n2000-1000 : System RAM\n-\n: System RAM\n"
      "00001000-0009fbff : System RAM");
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->entries, static_cast<std::uint32_t>(OBSERVE_SECTION_FRAMES));
}

TEST(MemoryLayout, ThisMachineHasSome) {
  auto layout = read_memory_layout();
  if (!layout) {
    EXPECT_TRUE(layout.error().code.value() == EPERM || layout.error().code.value() == EACCES);
    GTEST_SKIP() << layout.error().message;
  }
  EXPECT_GT(layout->entries, 0U);
}

}  // namespace
}  // namespace lb::observe
