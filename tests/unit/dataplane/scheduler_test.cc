// SPDX-License-Identifier: Apache-2.0
// The schedulers: what each picks, in which proportion, and never what is down or drained.
#include "dataplane/table/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/support/slot_table.h"
#include "tests/unit/dataplane/table_fixture.h"

namespace lb {
namespace {

constexpr Scheduler kAll[] = {Scheduler::Rr,  Scheduler::Wrr, Scheduler::Lc,  Scheduler::Wlc,
                              Scheduler::Sed, Scheduler::Nq,  Scheduler::Sh,  Scheduler::Dh,
                              Scheduler::Mh,  Scheduler::Fo,  Scheduler::Ovf, Scheduler::Twos};

/// One service on one worker, with loads that the test sets.
class Bench {
 public:
  explicit Bench(Scheduler scheduler, std::vector<std::uint32_t> weights) {
    builder.service("192.0.2.1:80/tcp", scheduler);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      builder.rs("192.0.2." + std::to_string(10 + i), weights[i]);
    }
    rebuild();
  }
  void rebuild() {
    test::give_tables(builder.spec, 4099);
    table = builder.build();
  }
  void set_load(std::uint32_t rs, std::uint64_t active, std::uint64_t inactive = 0) {
    auto& counters = worker.rs[rs];
    counters.active.add(active - counters.active.get());
    counters.inactive.add(inactive - counters.inactive.get());
  }
  /// Index of the picked real server, or -1.
  int pick_one(std::uint64_t flow = 1, std::uint64_t client = 1, std::uint64_t vip = 1) {
    const RealServer* rs = pick({.table = *table,
                                 .service = table->services()[0],
                                 .flow_hash = flow,
                                 .client_hash = client,
                                 .vip_hash = vip,
                                 .load = view,
                                 .state = state,
                                 .random = random});
    if (rs == nullptr) return -1;
    EXPECT_TRUE(rs->up && rs->weight != 0);
    return static_cast<int>(rs - table->real_servers().data());
  }
  std::map<int, int> pick_many(int count) {
    std::map<int, int> picks;
    for (int i = 0; i < count; ++i) ++picks[pick_one()];
    return picks;
  }

  SpecBuilder builder;
  std::unique_ptr<ServiceTable> table;
  Counters worker{4, 64};
  Counters other_worker{4, 64};
  std::vector<const Counters*> workers{&worker, &other_worker};
  LoadView view{workers};
  SchedulerState state;
  std::uint64_t random = 88172645463325252;
};

using Picks = std::map<int, int>;

TEST(Scheduler, PicksNobodyWhenNobodyIsThere) {
  for (Scheduler scheduler : kAll) {
    EXPECT_EQ(Bench(scheduler, {}).pick_one(), -1) << scheduler_name(scheduler);
    EXPECT_EQ(Bench(scheduler, {0, 0}).pick_one(), -1) << scheduler_name(scheduler);
    Bench down(scheduler, {1, 5});
    for (auto& rs : down.builder.spec.real_servers) rs.up = false;
    down.rebuild();
    EXPECT_EQ(down.pick_one(), -1) << scheduler_name(scheduler);
  }
}

TEST(Scheduler, NeverPicksWhatIsDownOrDrained) {
  for (Scheduler scheduler : kAll) {
    Bench bench(scheduler, {3, 1, 2, 7});
    bench.builder.spec.real_servers[0].up = false;
    bench.builder.spec.real_servers[3].weight = 0;
    bench.rebuild();
    std::mt19937_64 random(1);
    for (int i = 0; i < 500; ++i) {
      if (i == 250) bench.set_load(1, 1);
      int rs = bench.pick_one(random(), random(), random());
      ASSERT_TRUE(rs == 1 || rs == 2) << scheduler_name(scheduler) << " picked " << rs;
    }
  }
}

TEST(Scheduler, PicksTheOnlyOne) {
  for (Scheduler scheduler : kAll) EXPECT_EQ(Bench(scheduler, {5}).pick_one(), 0);
}

TEST(Scheduler, RrTakesTurnsWhateverTheWeights) {
  Bench bench(Scheduler::Rr, {1, 100, 7});
  EXPECT_EQ(bench.pick_many(300), (Picks{{0, 100}, {1, 100}, {2, 100}}));
  int last = bench.pick_one();
  for (int i = 0; i < 20; ++i) {
    int next = bench.pick_one();
    EXPECT_EQ(next, (last + 1) % 3);
    last = next;
  }
}

TEST(Scheduler, WrrIsExactOverEveryCycle) {
  Bench bench(Scheduler::Wrr, {1, 2, 4, 0, 3});
  for (int cycle = 0; cycle < 5; ++cycle) {
    EXPECT_EQ(bench.pick_many(10), (Picks{{0, 1}, {1, 2}, {2, 4}, {4, 3}}));
  }
  Bench large(Scheduler::Wrr, {65535, 65534, 1});
  auto picks = large.pick_many(131070);
  EXPECT_EQ(picks, (Picks{{0, 65535}, {1, 65534}, {2, 1}}));
}

TEST(Scheduler, WrrReducesWeightsAndInterleaves) {
  Bench bench(Scheduler::Wrr, {500, 500, 1000});
  EXPECT_EQ(bench.pick_many(4), (Picks{{0, 1}, {1, 1}, {2, 2}}));
  Bench two(Scheduler::Wrr, {100, 101});
  int run = 0, longest = 0, last = -1;
  for (int i = 0; i < 2010; ++i) {
    int rs = two.pick_one();
    run = rs == last ? run + 1 : 1;
    longest = std::max(longest, run);
    last = rs;
  }
  EXPECT_LE(longest, 3);
}

TEST(Scheduler, CursorsSurviveGenerationsAndStartAnewForAnotherService) {
  Bench bench(Scheduler::Wrr, {1, 1, 1, 1});
  bench.pick_many(3);
  bench.rebuild();
  int fourth = bench.pick_one();
  auto again = bench.pick_many(3);
  EXPECT_FALSE(again.contains(fourth));
  bench.builder.rs("192.0.2.99", 4);
  bench.rebuild();
  EXPECT_EQ(bench.pick_many(8), (Picks{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 4}}));
  bench.builder.spec.services[0].id = make_service_id(0, 2);
  bench.rebuild();
  EXPECT_EQ(bench.pick_many(8), (Picks{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 4}}));
  EXPECT_EQ(bench.state.service, make_service_id(0, 2));
}

TEST(Scheduler, LcCountsAnActiveFlowAs256Inactive) {
  Bench bench(Scheduler::Lc, {1, 9, 1});
  EXPECT_EQ(bench.pick_one(), 0);
  bench.set_load(0, 1);
  bench.set_load(1, 0, 257);
  bench.set_load(2, 0, 256);
  EXPECT_EQ(bench.pick_one(), 0);  // 256, 257, 256: the first of equals
  bench.set_load(2, 0, 255);
  EXPECT_EQ(bench.pick_one(), 2);
}

TEST(Scheduler, CountsTheFlowsOfAllWorkers) {
  Bench bench(Scheduler::Lc, {1, 1});
  bench.set_load(0, 1);
  bench.other_worker.rs[1].active.add(2);
  EXPECT_EQ(bench.pick_one(), 0);
  bench.set_load(0, 3);
  EXPECT_EQ(bench.pick_one(), 1);
}

TEST(Scheduler, WlcComparesSharesWithoutRounding) {
  Bench bench(Scheduler::Wlc, {3, 7});
  bench.set_load(0, 3);
  bench.set_load(1, 7);
  EXPECT_EQ(bench.pick_one(), 0);
  bench.set_load(0, 3, 1);
  EXPECT_EQ(bench.pick_one(), 1);
  Bench large(Scheduler::Wlc, {65535, 65534});
  large.set_load(0, 1ULL << 34);
  large.set_load(1, (1ULL << 34) - 262148);  // 4 / 2^32 above the other's share
  EXPECT_EQ(large.pick_one(), 0);
  large.set_load(1, (1ULL << 34) - 262149);
  EXPECT_EQ(large.pick_one(), 1);
}

TEST(Scheduler, SedExpectsTheNewFlowToo) {
  Bench bench(Scheduler::Sed, {1, 3});
  EXPECT_EQ(bench.pick_one(), 1);  // 1/1 against 1/3
  bench.set_load(1, 2);
  EXPECT_EQ(bench.pick_one(), 0);  // 1/1 against 3/3: the first of equals
  bench.set_load(0, 1);
  EXPECT_EQ(bench.pick_one(), 1);  // 2/1 against 3/3
}

TEST(Scheduler, NqTakesAnIdleOneFirst) {
  Bench bench(Scheduler::Nq, {1, 1000});
  bench.set_load(1, 1);
  EXPECT_EQ(bench.pick_one(), 0);
  bench.set_load(0, 1, 50);
  EXPECT_EQ(bench.pick_one(), 1);
}

TEST(Scheduler, LeastConnectionFillsByWeight) {
  for (Scheduler scheduler : {Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq}) {
    Bench bench(scheduler, {1, 2, 5});
    std::uint64_t load[3] = {};
    for (int i = 0; i < 800; ++i) {
      auto rs = static_cast<std::uint32_t>(bench.pick_one());
      bench.set_load(rs, ++load[rs]);
    }
    EXPECT_NEAR(static_cast<double>(load[0]), 100, 1) << scheduler_name(scheduler);
    EXPECT_NEAR(static_cast<double>(load[1]), 200, 1) << scheduler_name(scheduler);
    EXPECT_NEAR(static_cast<double>(load[2]), 500, 2) << scheduler_name(scheduler);
  }
}

TEST(Scheduler, FoTakesTheHeaviestThatIsUp) {
  Bench bench(Scheduler::Fo, {5, 9, 9, 1});
  EXPECT_EQ(bench.pick_one(), 1);
  bench.builder.spec.real_servers[1].up = false;
  bench.builder.spec.real_servers[2].weight = 0;
  bench.rebuild();
  EXPECT_EQ(bench.pick_one(), 0);
}

TEST(Scheduler, OvfOverflowsWhenActiveIsAboveTheWeight) {
  Bench bench(Scheduler::Ovf, {2, 4});
  bench.set_load(1, 4, 100);
  EXPECT_EQ(bench.pick_one(), 1);
  bench.set_load(1, 5);
  EXPECT_EQ(bench.pick_one(), 0);
  bench.set_load(0, 3);
  EXPECT_EQ(bench.pick_one(), -1);
}

TEST(Scheduler, TwosPrefersTheLessLoadedOfTwoDraws) {
  Bench idle(Scheduler::Twos, {1, 3});
  auto picks = idle.pick_many(8000);
  EXPECT_NEAR(picks[0], 2000, 200);
  Bench busy(Scheduler::Twos, {1, 1, 1});
  busy.set_load(2, 50);
  picks = busy.pick_many(9000);
  EXPECT_NEAR(picks[2], 1000, 150);  // only when drawn twice
}

TEST(Scheduler, HashedPicksFollowTheirOwnHashAndTheWeights) {
  for (Scheduler scheduler : {Scheduler::Sh, Scheduler::Dh, Scheduler::Mh}) {
    Bench bench(scheduler, {1, 2, 5});
    Picks picks;
    std::mt19937_64 random(5);
    for (int i = 0; i < 8000; ++i) {
      const std::uint64_t h = random();
      const std::uint64_t noise = random();
      auto with = [&](std::uint64_t other) {
        return bench.pick_one(scheduler == Scheduler::Mh ? h : other,
                              scheduler == Scheduler::Sh ? h : other,
                              scheduler == Scheduler::Dh ? h : other);
      };
      int rs = with(noise);
      ASSERT_EQ(with(~noise), rs);
      ++picks[rs];
    }
    EXPECT_NEAR(picks[0], 1000, 150);
    EXPECT_NEAR(picks[1], 2000, 200);
    EXPECT_NEAR(picks[2], 5000, 250);
  }
}

TEST(Scheduler, ALostServerMovesItsOwnHashesAndFewOthers) {
  Bench bench(Scheduler::Mh, {1, 2, 5});
  std::vector<int> before;
  for (std::uint64_t h = 0; h < 4000; ++h) before.push_back(bench.pick_one(lb_mix64(h)));
  bench.builder.spec.real_servers[1].up = false;
  bench.rebuild();
  Picks heirs;
  int others = 0;
  for (std::uint64_t h = 0; h < 4000; ++h) {
    int now = bench.pick_one(lb_mix64(h));
    if (before[h] == 1) {
      ++heirs[now];
    } else {
      others += now != before[h];
    }
  }
  EXPECT_EQ(heirs.size(), 2U);
  EXPECT_LT(others, 400);
}

TEST(Scheduler, TheServiceKeyDecidesWhereAHashLands) {
  Bench one(Scheduler::Mh, {1, 1, 1, 1}), two(Scheduler::Mh, {1, 1, 1, 1});
  two.builder.spec.services[0].hash_key ^= 0x123456789abcdef;
  two.rebuild();
  int same = 0;
  for (std::uint64_t h = 0; h < 4000; ++h) same += one.pick_one(h * 977) == two.pick_one(h * 977);
  EXPECT_NEAR(same, 1000, 200);
}

TEST(Scheduler, PickHashedTakesTheOwnerOfTheSlotWhateverTheScheduler) {
  for (Scheduler scheduler : {Scheduler::Wrr, Scheduler::Mh}) {
    Bench bench(scheduler, {1, 1});
    const Service& service = bench.table->services()[0];
    for (std::uint64_t h = 0; h < 100; ++h) {
      const RealServer* rs = pick_hashed(*bench.table, service, h);
      ASSERT_NE(rs, nullptr);
      const std::uint32_t slot = lb_hash_slot(h, service.hash_key, 4099);
      EXPECT_EQ(rs->id, service.members[service.table->hot(slot)]);
      if (scheduler == Scheduler::Mh) {
        EXPECT_EQ(bench.pick_one(h), rs - bench.table->real_servers().data());
      }
    }
  }
}

TEST(Scheduler, PickHashedIsNobodyWithoutATableOrAnOwnerThatIsUp) {
  Bench bench(Scheduler::Mh, {1, 1});
  bench.builder.spec.services[0].table.reset();
  bench.table = bench.builder.build();
  EXPECT_EQ(pick_hashed(*bench.table, bench.table->services()[0], 1), nullptr);
  Bench nobody(Scheduler::Mh, {0, 0});
  EXPECT_EQ(pick_hashed(*nobody.table, nobody.table->services()[0], 1), nullptr);
  Bench down(Scheduler::Mh, {1});
  down.builder.spec.real_servers[0].up = false;  // the table is from before
  down.table = down.builder.build();
  EXPECT_EQ(pick_hashed(*down.table, down.table->services()[0], 1), nullptr);
}

TEST(Scheduler, TheSorryServerOwnsTheSlotsWhenNobodyElseTakesFlows) {
  Bench bench(Scheduler::Mh, {1});
  bench.builder.rs("192.0.2.99");
  Service& service = bench.builder.spec.services[0];
  service.sorry = 1;
  service.rs_count = 1;
  bench.builder.spec.real_servers[0].weight = 0;
  bench.rebuild();
  EXPECT_EQ(bench.pick_one(1), 1);
}

}  // namespace
}  // namespace lb
