// SPDX-License-Identifier: Apache-2.0
// What the planner predicts of a hit, of this process.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "observe/plan/planner.h"

namespace lb::observe {
namespace {

Result<Planner> planner(bool sampled) {
  PlannerOptions options;
  options.sampled = sampled;
  return Planner::make(std::move(options));
}

TEST(PlannedCosts, TellCallsThatSamplingLeavesAndThoseThatItTakes) {
  auto all = planner(false);
  auto sampled = planner(true);
  if (!all || !sampled) GTEST_SKIP() << (all ? sampled : all).error().message;
  EXPECT_GT(all->costs().work_ns, 0);
  const auto pid = static_cast<std::uint32_t>(getpid());
  const auto every = all->plan({&pid, 1});
  const auto some = sampled->plan({&pid, 1});
  ASSERT_TRUE(every) << every.error().message;
  ASSERT_TRUE(some) << some.error().message;
  ASSERT_FALSE(some->points.empty());
  for (const double ns : every->taken_ns) EXPECT_EQ(ns, 0);
  for (std::size_t i = 0; i < some->points.size(); ++i) {
    const bool not_sampled = some->points[i].role == Role::Dlopen;
    EXPECT_GT(some->cost_ns[i], 0) << i;
    EXPECT_EQ(some->taken_ns[i] > some->cost_ns[i], !not_sampled) << i;
    EXPECT_EQ(some->taken_ns[i] == 0, not_sampled) << i;
  }
}

}  // namespace
}  // namespace lb::observe
