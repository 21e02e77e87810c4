// SPDX-License-Identifier: Apache-2.0
#include "dataplane/frame_pool.h"

#include <gtest/gtest.h>

#include <random>

namespace lb {
namespace {

TEST(FramePool, StartsWithAllFramesFree) {
  FramePool pool(8, 2048);
  EXPECT_EQ(pool.free_frames(), 8U);
  EXPECT_EQ(pool.owned_by(FrameOwner::Free), 8U);
  EXPECT_TRUE(pool.recounted());
}

TEST(FramePool, GivesOutTheFrameFreedLast) {
  FramePool pool(8, 2048);
  auto a = pool.take(FrameOwner::Worker);
  auto b = pool.take(FrameOwner::Worker);
  EXPECT_NE(a, b);
  pool.give(a, FrameOwner::Worker);
  EXPECT_EQ(pool.take(FrameOwner::Worker), a);
}

TEST(FramePool, AddressInsideOfAChunkNamesItsFrame) {
  FramePool pool(8, 4096);
  EXPECT_EQ(pool.address(3), 3U * 4096);
  EXPECT_EQ(pool.frame_at(3 * 4096 + 256), 3U);
  EXPECT_EQ(pool.frame_at(4 * 4096 - 1), 3U);
  EXPECT_EQ(pool.frame_at(8 * 4096), FramePool::kNone);
  EXPECT_EQ(pool.frame_at(~std::uint64_t{0}), FramePool::kNone);
}

TEST(FramePool, MoveIsRefusedWhenSomeoneElseOwnsTheFrame) {
  FramePool pool(2, 2048);
  EXPECT_FALSE(pool.move(0, FrameOwner::Tx, FrameOwner::Free));
  EXPECT_FALSE(pool.move(FramePool::kNone, FrameOwner::Tx, FrameOwner::Free));
  auto frame = pool.take(FrameOwner::Fill);
  EXPECT_TRUE(pool.move(frame, FrameOwner::Fill, FrameOwner::Worker));
  EXPECT_FALSE(pool.move(frame, FrameOwner::Fill, FrameOwner::Worker));
}

TEST(FramePool, UnbookedMoveShowsInTheBalance) {
  FramePool pool(2, 2048);
  (void)pool.take(FrameOwner::Fill);
  EXPECT_FALSE(pool.balanced());
  pool.count(FrameOwner::Free, FrameOwner::Fill, 1);
  EXPECT_TRUE(pool.balanced());
}

TEST(FramePool, StaysWholeUnderRandomMoves) {
  FramePool pool(64, 2048);
  std::mt19937 random(7);
  std::vector<FramePool::Frame> mine;
  for (int i = 0; i < 20'000; ++i) {
    if (pool.free_frames() != 0 && random() % 2 == 0) {
      mine.push_back(pool.take(FrameOwner::Worker));
      pool.count(FrameOwner::Free, FrameOwner::Worker, 1);
    } else if (!mine.empty()) {
      std::swap(mine[random() % mine.size()], mine.back());
      pool.give(mine.back(), FrameOwner::Worker);
      mine.pop_back();
      pool.count(FrameOwner::Worker, FrameOwner::Free, 1);
    }
    ASSERT_TRUE(pool.recounted());
    ASSERT_EQ(pool.owned_by(FrameOwner::Worker), mine.size());
  }
}

#ifdef LB_DEBUG
TEST(FramePoolDeath, FreeingAFrameTwiceAbortsInDebugBuilds) {
  FramePool pool(2, 2048);
  auto frame = pool.take(FrameOwner::Worker);
  pool.give(frame, FrameOwner::Worker);
  EXPECT_DEATH(pool.give(frame, FrameOwner::Worker), "assertion failed");
}
#endif

}  // namespace
}  // namespace lb
