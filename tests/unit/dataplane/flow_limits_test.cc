// SPDX-License-Identifier: Apache-2.0
// FlowLimits by itself, and with FlowStore: the number of half-open flows is exact whatever becomes
// of an entry.
#include "dataplane/flow_limits.h"

#include <gtest/gtest.h>

#include <random>

#include "dataplane/flow_store.h"

namespace lb {
namespace {

Service service(std::uint32_t slot, Scheduler scheduler, std::uint16_t rate = 0) {
  Service out;
  out.id = make_service_id(slot, 1);
  out.scheduler = scheduler;
  out.flow_rate = rate;
  return out;
}

constexpr FlowState kSynRecv = FlowState::SynRecv, kEstablished = FlowState::Established;

TEST(FlowLimits, LetThroughWhatNoLimitForbids) {
  Counter half_open;
  FlowLimits limits(4, 2, half_open);
  const Service of = service(1, Scheduler::Mh);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_FALSE(limits.is_spent(of, true, 5));
    ASSERT_TRUE(limits.take(of, true, kEstablished, 5));
  }
}

TEST(FlowLimits, SpendAWindowsBudgetOnce) {
  Counter half_open;
  FlowLimits limits(4, 2, half_open);
  const Service of = service(1, Scheduler::Rr, 3);
  const Service other = service(2, Scheduler::Rr, 3);
  for (TickMs now : {TickMs{0}, TickMs{LB_RATE_WINDOW_MS}, TickMs{0xffffffff}, TickMs{0}}) {
    for (int i = 0; i < 3; ++i) {
      ASSERT_FALSE(limits.is_spent(of, true, now));
      ASSERT_TRUE(limits.take(of, true, kEstablished, now));
    }
    EXPECT_TRUE(limits.is_spent(of, true, now));
    EXPECT_FALSE(limits.take(of, true, kEstablished, now));
    EXPECT_TRUE(limits.take(of, false, kEstablished, now)) << "running flows have their own";
    EXPECT_TRUE(limits.take(other, true, kEstablished, now)) << "services, too";
  }
  EXPECT_TRUE(limits.take(of, true, kEstablished, LB_RATE_WINDOW_MS));
  EXPECT_FALSE(limits.is_spent(of, true, LB_RATE_WINDOW_MS - 1)) << "another window";
}

TEST(FlowLimits, LargestRateIsReached) {
  Counter half_open;
  FlowLimits limits(1, 2, half_open);
  const Service of = service(0, Scheduler::Rr, 65535);
  for (int i = 0; i < 65535; ++i) ASSERT_TRUE(limits.take(of, true, kEstablished, 1));
  EXPECT_FALSE(limits.take(of, true, kEstablished, 1));
}

TEST(FlowLimits, BoundHalfOpenFlowsOfHashedServicesOnly) {
  Counter half_open;
  FlowLimits limits(4, 2, half_open);
  const std::vector<Service> services{service(0, Scheduler::Mh, 1), service(1, Scheduler::Sh),
                                      service(2, Scheduler::Wlc)};
  limits.follow(services);
  limits.enter({make_rs_id(0, 1), services[0].id, 1, kSynRecv});
  limits.enter({make_rs_id(0, 1), services[2].id, 1, kSynRecv});
  EXPECT_EQ(half_open.get(), 1U);
  limits.enter({make_rs_id(0, 1), services[1].id, 1, kSynRecv});
  EXPECT_EQ(half_open.get(), 2U);
  EXPECT_FALSE(limits.take(services[0], true, kSynRecv, 1));
  EXPECT_TRUE(limits.take(services[0], true, kEstablished, 1)) << "nothing was charged before";
  EXPECT_TRUE(limits.take(services[2], true, kSynRecv, 1));
  limits.leave({make_rs_id(0, 1), services[1].id, 1, kSynRecv});
  EXPECT_TRUE(limits.take(services[1], true, kSynRecv, 1));
}

TEST(FlowLimits, FollowServicesThatChangeTheirScheduler) {
  Counter half_open;
  FlowLimits limits(4, 2, half_open);
  std::vector<Service> services{service(0, Scheduler::Mh), service(3, Scheduler::Rr)};
  limits.follow(services);
  for (int i = 0; i < 5; ++i) limits.enter({make_rs_id(0, 1), services[1].id, 1, kSynRecv});
  limits.enter({make_rs_id(0, 1), services[0].id, 1, kSynRecv});
  EXPECT_EQ(half_open.get(), 1U);
  services[1].scheduler = Scheduler::Dh;
  limits.follow(services);
  EXPECT_EQ(half_open.get(), 6U);
  limits.leave({make_rs_id(0, 1), services[1].id, 1, kSynRecv});
  services.erase(services.begin());
  limits.follow(services);
  EXPECT_EQ(half_open.get(), 4U) << "a service that is gone has no flows to speak of";
  limits.leave({make_rs_id(0, 1), make_service_id(0, 1), 1, kSynRecv});
  EXPECT_EQ(half_open.get(), 4U);
}

// A store that is always full: inserts, evictions, promotions, replacements, ends, ageing.
TEST(FlowStore, CountsHalfOpenFlowsExactly) {
  Counters counters(4, 8);
  FlowLimits limits(4, 1000, counters.worker.flows_half_open);
  const std::vector<Service> services{service(0, Scheduler::Mh), service(1, Scheduler::Wrr)};
  limits.follow(services);
  FlowStore<FlowKey4> flows(std::move(*FlowTable<FlowKey4>::create(60, false)), counters, limits);
  std::mt19937 random(3);
  constexpr FlowState kStates[] = {kSynRecv, kSynRecv, kEstablished, FlowState::TimeWait};
  for (TickMs now = 0; now < 20'000; ++now) {
    FlowKey4 key;
    key.client = Be32::from_host(random() % 200);
    const std::uint64_t hash = lb_mix64(key.client.raw() + 1);
    const FlowState state = kStates[random() % 4];
    const FlowData flow{make_rs_id(random() % 8, 1), services[random() % 2].id, now, state};
    auto* entry = flows.find(key, hash);
    if (entry == nullptr) {
      flows.insert(key, hash, flow, FlowOrigin::New, [](const FlowData&) { return false; });
    } else if (random() % 4 == 0) {
      flows.erase(*entry);
    } else if (random() % 3 == 0) {
      flows.replace(*entry, flow, FlowOrigin::Running);
    } else {
      flows.touch(*entry, flows.data(*entry), state, now);
    }
    if (random() % 50 == 0) {
      flows.sweep(4, [&](const FlowKey4&, const FlowData&) { return random() % 2 == 0; });
    }
    std::uint64_t half_open = 0;
    flows.table().read_range(0, flows.table().buckets(), [&](const FlowKey4&, const FlowData& at) {
      half_open += at.state == kSynRecv && at.service == services[0].id;
    });
    ASSERT_EQ(counters.worker.flows_half_open.get(), half_open) << now;
  }
  const WorkerCounters& w = counters.worker;
  EXPECT_GT(w.flows_evicted_alive.get(), 100U);
  EXPECT_EQ(w.flows_new.get(), flows.table().size() + w.flows_expired.get() +
                                   w.flows_evicted_alive.get() + w.flows_evicted_idle.get());
}

TEST(FlowStore, RunningFlowsAreNotNewOnes) {
  Counters counters(4, 8);
  FlowLimits limits(4, 1000, counters.worker.flows_half_open);
  FlowStore<FlowKey4> flows(std::move(*FlowTable<FlowKey4>::create(60, false)), counters, limits);
  const FlowData flow{make_rs_id(2, 1), make_service_id(1, 1), 1, kEstablished};
  flows.insert({}, 1, flow, FlowOrigin::Running, [](const FlowData&) { return false; });
  EXPECT_EQ(counters.worker.flows_new.get(), 1U);
  EXPECT_EQ(counters.services[1].new_flows.get(), 0U);
  EXPECT_EQ(counters.rs[2].new_flows.get(), 0U);
  EXPECT_EQ(counters.rs[2].active.get(), 1U);
  flows.erase(*flows.find({}, 1));
  EXPECT_EQ(counters.worker.flows_expired.get(), 1U);
  EXPECT_EQ(counters.rs[2].active.get(), 0U);
  EXPECT_EQ(flows.find({}, 1), nullptr);
}

}  // namespace
}  // namespace lb
