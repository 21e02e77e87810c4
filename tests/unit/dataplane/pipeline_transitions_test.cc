// SPDX-License-Identifier: Apache-2.0
// Around transitions of slots: the limits of what is remembered, ageing, ICMP errors, fragments,
// peers, and the hash pick of services that are not hashed.
#include <gtest/gtest.h>

#include "dataplane/pipeline.h"
#include "tests/support/pipeline_world.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// Services 0 TCP (RS 0, 1, 2) and 1 UDP (3, 4, 5).
constexpr std::size_t kTcp = 0, kUdp = 1;

SpecBuilder spec_of(Scheduler scheduler) {
  SpecBuilder spec;
  for (const char* address : {"192.0.2.10:80/tcp", "192.0.2.10:53/udp"}) {
    spec.service(address, scheduler).hash_key = 42;
    for (int i = 0; i < 3; ++i) spec.rs();
  }
  return spec;
}
SpecBuilder hashed() { return spec_of(Scheduler::Mh); }
PacketBuilder tcp(std::uint16_t port, std::uint8_t flags) {
  return PacketBuilder(kClient, kVip).tcp(port, 80, flags);
}
PacketBuilder udp(std::uint16_t port) { return PacketBuilder(kClient, kVip).udp(port, 53); }
ServiceCounters& counts(World& world, std::size_t service = kTcp, std::size_t worker = 0) {
  return world.counters(worker).services[service];
}

// Half-open flows.

World small_half_open(std::uint32_t most) {
  PipelineOptions options = World::small();
  options.half_open_max = most;
  return World(1, options);
}

TEST(PipelineHalfOpen, AreBounded) {
  World world = small_half_open(3);
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 1, 0));
  for (std::uint16_t port = 1; port <= 3; ++port) EXPECT_EQ(world.send(tcp(port, kSyn)), "rs 1");
  EXPECT_EQ(world.send(tcp(4, kSyn)), "rs 0") << "without memory: where its next segment will go";
  EXPECT_EQ(world.send(tcp(4, kAck)), "rs 0") << "that is remembered";
  EXPECT_EQ(world.half_open(), 3U);
  EXPECT_EQ(world.flows(), 4U);
  EXPECT_EQ(counts(world).unremembered.get(), 1U);
  EXPECT_EQ(counts(world).unprotected.get(), 0U);
  EXPECT_EQ(counts(world).new_flows.get(), 4U);
  EXPECT_EQ(world.counters().rs[0].new_flows.get(), 1U);
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
  EXPECT_EQ(world.half_open(), 2U) << "promoted";
  EXPECT_EQ(world.send(tcp(5, kSyn)), "rs 1");
  world.check_counters();
}

TEST(PipelineHalfOpen, OverTheBoundGoToTheOwnerWhenTheOldServerCannotTakeThem) {
  for (bool drains : {false, true}) {
    World world = small_half_open(0);
    auto spec = hashed();
    (drains ? spec.spec().real_servers[0].weight : spec.spec().real_servers[2].weight) = 0;
    spec.spec().real_servers[0].up = drains;
    world.use(spec.all_slots(kTcp, 1, 0));
    EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
    EXPECT_EQ(counts(world).unprotected.get(), 1U);
    EXPECT_EQ(counts(world).unremembered.get(), 1U);
    EXPECT_EQ(world.flows(), 0U);
  }
}

TEST(PipelineHalfOpen, LiveTenSecondsAtMost) {
  World world;
  auto spec = hashed();
  spec.spec().services[kUdp].scheduler = Scheduler::Rr;
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  world.now += 10'000;
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  EXPECT_EQ(counts(world).new_flows.get(), 1U) << "still the same";
  world.use(spec.all_slots(kTcp, 2, 0));
  world.now += 10'001;
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 2");
  EXPECT_EQ(world.half_open(), 1U);
  world.age(20'000);
  EXPECT_EQ(world.flows(), 0U);
  EXPECT_EQ(world.half_open(), 0U);
  world.check_counters();
}

TEST(PipelineHalfOpen, LiveNoLongerThanTheServiceSays) {
  World world;
  auto spec = hashed();
  spec.spec().services[kTcp].timeouts.syn_recv_ms = 3'000;
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  world.use(spec.all_slots(kTcp, 2, 0));
  world.now += 3'001;
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 2");
}

TEST(PipelineHalfOpen, OfOtherServicesHaveTheirOwnLife) {
  World world = small_half_open(0);
  auto spec = spec_of(Scheduler::Rr);
  world.use(spec);
  const std::string rs = world.send(tcp(1, kSyn));
  world.now += 59'000;
  EXPECT_EQ(world.send(tcp(1, kSyn)), rs);
  EXPECT_EQ(world.half_open(), 0U);
  EXPECT_EQ(counts(world).unremembered.get(), 0U);
  spec.spec().services[kTcp].scheduler = Scheduler::Mh;
  world.use(spec);
  world.send(udp(1));
  EXPECT_EQ(world.half_open(), 1U) << "of a service that is hashed now";
  world.check_counters();
}

// A flood of SYNs beside living connections, in a table that it could fill many times over.
TEST(PipelineHalfOpen, FloodLeavesConnectionsAlone) {
  World world = small_half_open(100);
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 1, 0));
  for (std::uint16_t port = 1; port <= 500; ++port) EXPECT_EQ(world.send(tcp(port, kAck)), "rs 0");
  for (int second = 0; second < 20; ++second) {
    for (std::uint16_t port = 0; port < 500; ++port) {
      const std::string source = "203.0.113." + std::to_string(second);
      world.send(PacketBuilder(source, kVip).tcp(1000 + port, 80, kSyn));
    }
    EXPECT_LE(world.half_open(), 100U);
    EXPECT_LE(world.flows(), 600U);
    world.age(1'000);
  }
  world.use(spec.all_except(kTcp, 1));
  for (std::uint16_t port = 1; port <= 500; ++port) EXPECT_EQ(world.send(tcp(port, kAck)), "rs 0");
  EXPECT_EQ(world.counters().worker.flows_evicted_alive.get(), 0U);
  EXPECT_GT(counts(world).unremembered.get(), 9'000U);
  EXPECT_EQ(counts(world).unprotected.get(), 0U);
  world.check_counters();
}

// The rate of flows that are remembered anew.

TEST(PipelineRate, OverItTheHashAloneDecides) {
  World world;
  auto spec = hashed();
  spec.spec().services[kTcp].flow_rate = 2;
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  EXPECT_EQ(world.send(tcp(2, kSyn)), "rs 1");
  EXPECT_EQ(world.send(tcp(3, kSyn)), "rs 0");
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1") << "it is known";
  EXPECT_EQ(world.send(tcp(4, kAck)), "rs 0");
  EXPECT_EQ(world.send(tcp(5, kAck)), "rs 0");
  EXPECT_EQ(world.flows(), 4U) << "running flows have a budget of their own";
  EXPECT_EQ(world.send(tcp(6, kAck)), "rs 0");
  EXPECT_EQ(world.flows(), 4U);
  EXPECT_EQ(counts(world).unremembered.get(), 2U);
  EXPECT_EQ(counts(world).new_flows.get(), 3U);
  world.now += LB_RATE_WINDOW_MS;
  EXPECT_EQ(world.send(tcp(6, kAck)), "rs 0");
  EXPECT_EQ(world.send(tcp(7, kSyn)), "rs 1");
  EXPECT_EQ(world.flows(), 6U);
  world.check_counters();
}

TEST(PipelineRate, BindsDatagramsToo) {
  for (Affinity affinity : {Affinity::Transition, Affinity::Always}) {
    World world;
    auto spec = hashed();
    spec.spec().services[kUdp].affinity = affinity;
    spec.spec().services[kUdp].flow_rate = 1;
    world.use(spec.all_slots(kUdp, 1, 0));
    const std::string rs = affinity == Affinity::Always ? "rs 4" : "rs 3";
    for (std::uint16_t port = 1; port <= 5; ++port) EXPECT_EQ(world.send(udp(port)), rs);
    EXPECT_EQ(world.flows(), 1U);
    EXPECT_EQ(counts(world, kUdp).unremembered.get(), 4U);
    EXPECT_EQ(counts(world, kUdp).unprotected.get(), 0U);
  }
}

TEST(PipelineRate, CountsTheUnprotected) {
  World world;
  auto spec = hashed();
  spec.spec().services[kTcp].flow_rate = 1;
  spec.spec().real_servers[0].weight = 0;
  world.use(spec.all_slots(kTcp, 1, 0));
  for (std::uint16_t port = 1; port <= 4; ++port) EXPECT_EQ(world.send(tcp(port, kSyn)), "rs 1");
  EXPECT_EQ(counts(world).unprotected.get(), 3U);
  EXPECT_EQ(world.send(tcp(5, kAck)), "rs 0") << "is never that";
  EXPECT_EQ(counts(world).unprotected.get(), 3U);
  world.use(spec.all_slots(kTcp, 0, 0));
  EXPECT_EQ(world.send(tcp(6, kSyn)), "rs 0");
  EXPECT_EQ(counts(world).unprotected.get(), 3U) << "its next segment will go there, too";
}

TEST(PipelineRate, AFlowThatBeginsAnewAndCannotBeRememberedLosesItsEntry) {
  World world;
  auto spec = hashed();
  spec.spec().services[kTcp].flow_rate = 1;
  world.use(spec.all_slots(kTcp, 2, 2));
  world.send(tcp(1, kSyn));
  world.send(tcp(1, kAck));
  world.send(tcp(1, kRst));  // CLOSE
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 0");
  EXPECT_EQ(world.flows(), 0U);
  world.now += LB_RATE_WINDOW_MS;
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0") << "not the RS of the connection before";
  world.check_counters();
}

TEST(PipelineRate, BindsServicesThatAreNotHashed) {
  World world;
  auto spec = spec_of(Scheduler::Rr);
  spec.spec().services[kTcp].flow_rate = 2;
  spec.with_table(kTcp).all_slots(kTcp, 1);
  world.use(spec);
  for (std::uint16_t port = 1; port <= 10; ++port) {
    const std::string rs = world.send(tcp(port, kSyn));
    if (port > 2) {
      EXPECT_EQ(rs, "rs 1") << "the hash pick";
    }
    EXPECT_EQ(world.send(tcp(port, kSyn)), rs);
  }
  EXPECT_EQ(world.flows(), 2U);
  EXPECT_EQ(counts(world).unremembered.get(), 16U);
  EXPECT_EQ(counts(world).new_flows.get(), 18U);
  EXPECT_EQ(counts(world).unprotected.get(), 0U);
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(20, kSyn)), "rs 0");
  EXPECT_EQ(world.send(tcp(21, kAck)), "rs 0");
  spec.spec().real_servers[0].weight = 0;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(20, kSyn)), "rs 1");
  EXPECT_EQ(counts(world).unprotected.get(), 1U);
  world.check_counters();
}

// Ageing.

TEST(PipelineSweep, DropsWhatAClosedSlotSaysItself) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 1, 0).all_slots(kUdp, 1, 0));
  for (std::uint16_t port = 1; port <= 10; ++port) {
    EXPECT_EQ(world.send(tcp(port, kAck)), "rs 0");  // disagree with the owner
    EXPECT_EQ(world.send(tcp(port + 100, kSyn)), "rs 1");
    EXPECT_EQ(world.send(tcp(port + 100, kAck)), "rs 1");  // agree
    EXPECT_EQ(world.send(udp(port)), "rs 3");              // disagree
  }
  world.age();
  EXPECT_EQ(world.flows(), 30U) << "open: all are needed";
  world.use(spec.all_except(kTcp, 1).all_except(kUdp, 1));
  world.age();
  EXPECT_EQ(world.flows(), 20U);
  EXPECT_EQ(world.active(1), 0U);
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0");
  EXPECT_EQ(world.send(tcp(101, kAck)), "rs 1");
  world.use(spec.all_except(kTcp, 1).all_slots(kUdp, 1));
  world.age();
  EXPECT_EQ(world.flows(), 10U) << "nobody asks for those of a slot without exceptions";
  EXPECT_EQ(world.active(3), 0U);
  world.check_counters();
}

TEST(PipelineSweep, KeepsWhatIsRememberedAlways) {
  World world;
  auto spec = hashed();
  spec.spec().services[kUdp].affinity = Affinity::Always;
  world.use(spec.all_slots(kUdp, 1));
  EXPECT_EQ(world.send(udp(1)), "rs 4");
  world.age();
  EXPECT_EQ(world.flows(), 1U);
  world.use(spec.all_except(kUdp, 1));
  world.age();
  EXPECT_EQ(world.flows(), 1U);
  spec.spec().services[kUdp].affinity = Affinity::None;
  world.use(spec);
  world.age();
  EXPECT_EQ(world.flows(), 0U) << "none is asked for";
  world.check_counters();
}

TEST(PipelineSweep, DropsFlowsOfServersThatAreGoneInAnySlot) {
  for (bool open : {false, true}) {
    World world;
    auto spec = hashed();
    world.use(spec.all_slots(kTcp, 2, 2));
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 2");
    spec.spec().real_servers[2].up = false;
    open ? spec.all_slots(kTcp, 1, 0) : spec.all_except(kTcp, 1);
    world.use(spec);
    world.age();
    EXPECT_EQ(world.flows(), 1U) << "down: it may come back";
    spec.spec().real_servers[2].id = make_rs_id(2, 2);
    world.use(spec);
    world.age();
    EXPECT_EQ(world.flows(), 0U);
    world.check_counters();
  }
}

TEST(PipelineSweep, LeavesServicesThatAreNotHashedAlone) {
  World world;
  auto spec = spec_of(Scheduler::Wrr);
  world.use(spec.with_table(kTcp).all_slots(kTcp, 1).all_slots(kUdp, 1));
  for (std::uint16_t port = 1; port <= 10; ++port) {
    world.send(tcp(port, kAck));
    world.send(udp(port));
  }
  world.age(5'000);
  EXPECT_EQ(world.flows(), 20U);
}

// ICMP errors.

Bytes error_about(std::uint16_t port, bool is_udp = false) {
  auto reply = PacketBuilder(kVip, kClient);
  is_udp ? reply.udp(53, port) : reply.tcp(80, port, kAck);
  return icmp_error(kRouter, reply.build(), 3, 4, 28, 1400).build();
}

TEST(PipelineIcmp, GoesToTheOwnerInSteadyState) {
  World world;
  auto spec = hashed();
  spec.spec().services[kUdp].affinity = Affinity::None;
  world.use(spec.all_slots(kTcp, 1).all_slots(kUdp, 1, 0));
  EXPECT_EQ(world.send(error_about(1)), "rs 1");
  EXPECT_EQ(world.send(error_about(1, true)), "rs 4") << "never remembered: never asked";
  EXPECT_EQ(world.counters().worker.icmp_errors_forwarded.get(), 2U);
  EXPECT_EQ(world.flows(), 0U);
}

TEST(PipelineIcmp, FollowsTheMemoryInTransitions) {
  for (bool closed : {false, true}) {
    World world;
    auto spec = hashed();
    world.use(spec.all_slots(kTcp, 2, 2).all_slots(kUdp, 2, 2));
    EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 2");
    EXPECT_EQ(world.send(udp(1)), "rs 5");
    spec.spec().real_servers[2].weight = 0;  // drains: no matter
    closed ? spec.all_except(kTcp, 1).all_except(kUdp, 1)
           : spec.all_slots(kTcp, 1, 0).all_slots(kUdp, 1, 0);
    world.use(spec);
    EXPECT_EQ(world.send(error_about(1)), "rs 2");
    EXPECT_EQ(world.send(error_about(1, true)), "rs 5");
    EXPECT_EQ(world.send(error_about(2)), closed ? "rs 1" : "rs 0") << "unknown";
    EXPECT_EQ(world.send(error_about(2, true)), closed ? "rs 4" : "rs 3");
    spec.spec().real_servers[2].up = false;
    spec.spec().real_servers[0].up = false;
    world.use(spec);
    EXPECT_EQ(world.send(error_about(1)), "rs 1") << "both are dead";
    EXPECT_EQ(world.flows(), 2U) << "an error neither makes nor ends an entry";
    world.check_counters();
  }
}

TEST(PipelineIcmp, GoesToTheOldServerAlsoWhenItDrains) {
  World world;
  auto spec = hashed();
  spec.spec().real_servers[0].weight = spec.spec().real_servers[3].weight = 0;
  spec.spec().services[kUdp].affinity = Affinity::Always;
  world.use(spec.all_slots(kTcp, 1, 0).all_slots(kUdp, 1, 0));
  EXPECT_EQ(world.send(error_about(1)), "rs 0");
  EXPECT_EQ(world.send(error_about(1, true)), "rs 3");
}

TEST(PipelineIcmp, HasNobodyToGoTo) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, LB_SLOT_NOBODY).without_table(kUdp));
  EXPECT_EQ(world.send(error_about(1)), "icmp_unknown");
  EXPECT_EQ(world.send(error_about(1, true)), "icmp_unknown");
  EXPECT_EQ(counts(world).drops.get(), 1U);
  auto stateful = spec_of(Scheduler::Wrr);
  world.use(stateful.with_table(kTcp).all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(error_about(1)), "icmp_unknown") << "its hash pick is a guess";
}

// Services that are not hashed: a table for packets out of nothing.

TEST(PipelineHashPick, TakesSegmentsOfUnknownConnections) {
  World one, other;
  auto spec = spec_of(Scheduler::Rr);
  spec.with_table(kTcp);
  one.use(spec);
  other.use(spec);
  int same = 0;
  for (std::uint16_t port = 1; port <= 60; ++port) {
    const std::string rs = one.send(tcp(port, kAck));
    EXPECT_EQ(other.send(tcp(port, kAck)), rs) << "whoever decides it";
    EXPECT_EQ(one.send(tcp(port, kAck)), rs);
    same += one.send(tcp(port + 100, kSyn)) == rs;
  }
  EXPECT_LT(same, 50) << "SYNs go round";
  EXPECT_EQ(counts(one).unknown_flows.get(), 60U);
  EXPECT_EQ(one.flows(), 120U);
  one.check_counters();
}

TEST(PipelineHashPick, IsTheOldServerOfAnOpenSlot) {
  World world;
  auto spec = spec_of(Scheduler::Wrr);
  world.use(spec.with_table(kTcp).all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0");
  EXPECT_EQ(world.send(tcp(2, kSyn | kAck)), "rs 0");
  spec.spec().real_servers[0].weight = 0;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(3, kAck)), "rs 0") << "drains";
  spec.spec().real_servers[0].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(4, kAck)), "rs 1");
  world.use(spec.all_except(kTcp, 2));
  EXPECT_EQ(world.send(tcp(5, kAck)), "rs 2");
  EXPECT_EQ(world.flows(), 5U);
}

TEST(PipelineHashPick, LeavesItToTheSchedulerWhenThereIsNoTable) {
  for (bool table : {false, true}) {
    World world;
    auto spec = spec_of(Scheduler::Fo);
    spec.spec().real_servers[2].weight = 9;
    if (table) spec.all_slots(kTcp, LB_SLOT_NOBODY);
    world.use(spec);
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 2");
    EXPECT_EQ(counts(world).unknown_flows.get(), 1U);
    EXPECT_EQ(world.flows(), 1U);
  }
}

TEST(PipelineHashPick, ARepeatedSynFollowsItsFlowToADrainingServer) {
  World world;
  auto spec = spec_of(Scheduler::Fo);
  spec.spec().real_servers[2].weight = 9;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 2");
  spec.spec().real_servers[2].weight = 0;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 2");
  EXPECT_EQ(world.send(tcp(2, kSyn)), "rs 0");
}

// Peers and fragments.

TEST(PipelineSlotPeers, KnowAFlowInATransition) {
  World world(2);
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 2, 2));
  EXPECT_EQ(world.send(tcp(1, kSyn), 0), "rs 2");
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kAck), 1), "rs 2");
  EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), 1U);
  EXPECT_EQ(world.half_open(0), 1U);
  EXPECT_EQ(world.half_open(1), 0U);
  EXPECT_EQ(world.send(tcp(2, kAck), 1), "rs 0");
  world.check_counters();
}

// Each packet of each flow would look into every worker's memory, as long as one exception lives.
TEST(PipelineSlotPeers, AreNotAskedInClosedSlots) {
  World world(2);
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 2, 2));
  EXPECT_EQ(world.send(tcp(1, kAck), 0), "rs 2");
  world.use(spec.all_except(kTcp, 1));
  EXPECT_EQ(world.send(tcp(1, kAck), 1), "rs 1");
  auto first = fragment(tcp(1, kAck).payload(60).build(), 24, 7).at(0);
  EXPECT_EQ(world.send(first, 1), "rs 2") << "a fragment is on another queue than its flow";
  EXPECT_EQ(world.send(error_about(1), 1), "rs 2") << "so is an ICMP error";
  world.use(spec.all_slots(kTcp, 1));
  EXPECT_EQ(world.send(first, 1), "rs 1");
  world.check_counters();
}

TEST(PipelineSlotPeers, GiveNoMoreThanTheLimitsAllow) {
  PipelineOptions options = World::small();
  options.half_open_max = 1;
  World world(2, options);
  auto spec = hashed();
  spec.spec().services[kTcp].flow_rate = 2;
  world.use(spec.all_slots(kTcp, 2, 2));
  EXPECT_EQ(world.send(tcp(1, kSyn), 0), "rs 2");
  world.now += LB_RATE_WINDOW_MS;
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(2, kSyn), 1), "rs 1");
  auto first = fragment(tcp(1, kSyn).payload(60).build(), 24, 7).at(0);
  EXPECT_EQ(world.send(first, 1), "rs 2");
  EXPECT_EQ(world.flows(1), 1U) << "followed, but not remembered: one half-open is enough";
  for (std::uint16_t port = 3; port <= 4; ++port) EXPECT_EQ(world.send(tcp(port, kAck), 1), "rs 0");
  EXPECT_EQ(world.flows(1), 3U);
  EXPECT_EQ(world.send(tcp(1, kAck), 1), "rs 0") << "over the rate: the hash alone";
  EXPECT_EQ(world.flows(1), 3U);
  world.check_counters();
}

TEST(PipelineSlotPeers, LaterFragmentsFollowTheFirst) {
  World world(2);
  auto spec = hashed();
  world.use(spec.all_slots(kUdp, 1));
  auto pieces = fragment(udp(1).payload(84).build(), 24, 9);
  EXPECT_EQ(world.send(pieces.at(2), 1), "held");
  EXPECT_EQ(world.send(pieces.at(0), 0), "rs 4");
  world.use(spec.all_slots(kUdp, 2));
  EXPECT_EQ(world.send(pieces.at(1), 0), "rs 4") << "the whole datagram goes one way";
  ++world.now;
  ASSERT_EQ(world.maintain(1).size(), 1U);
  EXPECT_EQ(World::target(world.sent().front()), "rs 4");
  EXPECT_EQ(world.counters().worker.fragments_first.get(), 1U);
  EXPECT_EQ(world.flows(0) + world.flows(1), 0U);
}

}  // namespace
}  // namespace lb
