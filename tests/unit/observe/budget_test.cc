// SPDX-License-Identifier: Apache-2.0
// Budget: what it decides, and that the average keeps to it whatever the load does.
#include "observe/frame/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace lb::observe {
namespace {

using Act = Budget::Act;
constexpr std::uint32_t kLevelMax = 15;

TEST(Budget, WithinItNothingChanges) {
  Budget budget(3, kLevelMax);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(budget.next(1, {1.5, 1.4}).act, Act::Keep);
  EXPECT_EQ(budget.level(), 0U);
}

TEST(Budget, WidensByWhatTheProgramsCostTooMuch) {
  Budget budget(3, kLevelMax);
  const auto step = budget.next(1, {1, 7.9});  // 2 are left: a quarter
  EXPECT_EQ(step.act, Act::Level);
  EXPECT_EQ(step.level, 2U);
}

TEST(Budget, ManyTimesTooMuchWidensInSteps) {
  Budget budget(1, kLevelMax);
  EXPECT_EQ(budget.next(1, {0, 100}).level, 4U);
  EXPECT_EQ(budget.next(1, {0, 50}).level, 8U);
}

TEST(Budget, TrapsAloneAboveItPauseSoThatTheAverageHolds) {
  Budget budget(3, kLevelMax);
  const auto step = budget.next(1, {60, 10});
  EXPECT_EQ(step.act, Act::Pause);
  EXPECT_NEAR(70 / (1 + step.pause_s), 3, 1e-9);
}

TEST(Budget, AtTheWidestLevelItPauses) {
  Budget budget(3, 2);
  EXPECT_EQ(budget.next(1, {0, 50}).level, 2U);
  EXPECT_EQ(budget.next(1, {0, 50}).act, Act::Pause);
}

TEST(Budget, NarrowsAfterQuietSecondsAndNeverBelowWhatWasAskedFor) {
  Budget budget(4, kLevelMax);
  EXPECT_EQ(budget.next(1, {0, 30}).level, 3U);
  int steps = 0;
  for (int i = 0; i < 60; ++i) {
    if (budget.next(1, {0, 0.5}).act == Act::Level) ++steps;
  }
  EXPECT_EQ(steps, 3);
  EXPECT_EQ(budget.level(), 0U);
}

// A model of a tracer: traps by the rate of calls, programs by the rate and the level.
TEST(Budget, ModelKeepsTheAverageUnderLoadsThatChange) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    const double percent = std::uniform_real_distribution<>(0.5, 10)(random);
    Budget budget(percent, kLevelMax);
    double traps = 0;
    double sampled = 0;
    double seconds = 0;
    double spent = 0;
    double most = 0;
    for (int i = 0; i < 500; ++i) {
      if (i % 50 == 0) {
        traps = std::exp(std::uniform_real_distribution<>(-3, 5)(random));
        sampled = std::exp(std::uniform_real_distribution<>(-3, 6)(random));
      }
      const double programs = traps * 0.1 + std::ldexp(sampled, -static_cast<int>(budget.level()));
      const auto step = budget.next(1, {traps, programs});
      seconds += 1 + step.pause_s;
      spent += traps + programs;
      most = std::max(most, traps + programs);
      ASSERT_LE(budget.level(), kLevelMax);
    }
    // A change of the load is seen a second later, and widening takes up to four: what that costs
    // is spread over the rest.
    const double late = 10 * 5 * most;
    EXPECT_LE(spent, percent * seconds + late) << "seed " << seed;
  }
}

}  // namespace
}  // namespace lb::observe
