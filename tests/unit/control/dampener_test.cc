// SPDX-License-Identifier: Apache-2.0
#include "control/dampener.h"

#include <gtest/gtest.h>

namespace lb {
namespace {

TEST(Dampener, TheFirstResultDecides) {
  Dampener up(3, 3), down(3, 3);
  EXPECT_EQ(up.health(), Health::Unknown);
  EXPECT_TRUE(up.result(true, 5));
  EXPECT_EQ(up.health(), Health::Up);
  EXPECT_EQ(up.changed_ms(), 5U);
  EXPECT_TRUE(down.result(false, 5));
  EXPECT_EQ(down.health(), Health::Down);
}

TEST(Dampener, FallsAfterFallFailuresInARow) {
  Dampener dampener(2, 3, Health::Up);
  EXPECT_FALSE(dampener.result(false, 1));
  EXPECT_FALSE(dampener.result(false, 2));
  EXPECT_EQ(dampener.streak(), 2U);
  EXPECT_FALSE(dampener.result(true, 3)) << "one pass ends the row";
  EXPECT_EQ(dampener.streak(), 0U);
  EXPECT_FALSE(dampener.result(false, 4));
  EXPECT_FALSE(dampener.result(false, 5));
  EXPECT_TRUE(dampener.result(false, 6));
  EXPECT_EQ(dampener.health(), Health::Down);
  EXPECT_EQ(dampener.changed_ms(), 6U);
}

TEST(Dampener, RisesAfterRisePassesInARow) {
  Dampener dampener(2, 3, Health::Down);
  EXPECT_FALSE(dampener.result(true, 1));
  EXPECT_FALSE(dampener.result(false, 2));
  EXPECT_FALSE(dampener.result(true, 3));
  EXPECT_TRUE(dampener.result(true, 4));
  EXPECT_EQ(dampener.health(), Health::Up);
}

TEST(Dampener, OneMeansAtOnce) {
  Dampener dampener(1, 1, Health::Up);
  EXPECT_TRUE(dampener.result(false, 1));
  EXPECT_TRUE(dampener.result(true, 2));
}

TEST(Dampener, NewCountsHoldFromTheNextResult) {
  Dampener dampener(2, 5, Health::Up);
  EXPECT_FALSE(dampener.result(false, 1));
  EXPECT_FALSE(dampener.result(false, 2));
  dampener.configure(2, 2);
  EXPECT_EQ(dampener.health(), Health::Up);
  EXPECT_TRUE(dampener.result(false, 3));
}

}  // namespace
}  // namespace lb
