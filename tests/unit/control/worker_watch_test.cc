// SPDX-License-Identifier: Apache-2.0
#include "control/worker_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lb {
namespace {

TEST(WorkerWatch, SaysOnceAMinuteWhoHangsAndOnceThatItIsBack) {
  std::vector<WorkerInfo> workers(2);
  workers[1].index = WorkerIndex{1};
  WorkerWatch watch;
  workers[0].last_step_ms = workers[1].last_step_ms = WorkerWatch::kHangsMs;
  EXPECT_TRUE(watch.look(workers, 1'000).all_step);
  workers[1].last_step_ms = WorkerWatch::kHangsMs + 1;
  auto seen = watch.look(workers, 2'000);
  EXPECT_FALSE(seen.all_step);
  EXPECT_THAT(seen.hang, testing::ElementsAre(testing::HasSubstr("worker 1 has taken no step")));
  seen = watch.look(workers, 3'000);
  EXPECT_FALSE(seen.all_step);
  EXPECT_TRUE(seen.hang.empty()) << "not every second";
  EXPECT_EQ(watch.look(workers, 2'000 + WorkerWatch::kSayAgainMs).hang.size(), 1U);
  workers[1].last_step_ms = 0;
  seen = watch.look(workers, 70'000);
  EXPECT_TRUE(seen.all_step);
  EXPECT_EQ(seen.resume.size(), 1U);
  EXPECT_TRUE(watch.look(workers, 71'000).resume.empty());
}

}  // namespace
}  // namespace lb
