// SPDX-License-Identifier: Apache-2.0
// Hashed services on one worker: the slot decides, and the flow memory only in transitions. Each
// rule for TCP and for datagrams of each affinity. Limits, ageing, ICMP errors and peers have a
// file of their own (pipeline_transitions_test.cc).
#include <gtest/gtest.h>

#include <set>

#include "dataplane/pipeline.h"
#include "tests/support/pipeline_world.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// Services 0 TCP (RS 0, 1, 2), 1 UDP (3, 4, 5), 2 SCTP (6, 7, 8), 3 TCP over IPv6 (9, 10, 11).
constexpr std::size_t kTcp = 0, kUdp = 1, kSctp = 2, kTcp6 = 3;

SpecBuilder hashed(Scheduler scheduler = Scheduler::Mh) {
  SpecBuilder spec;
  for (const char* address :
       {"192.0.2.10:80/tcp", "192.0.2.10:53/udp", "192.0.2.10:9/sctp", "[2001:db8::10]:80/tcp"}) {
    spec.service(address, scheduler).hash_key = 42;
    for (int i = 0; i < 3; ++i) spec.rs();
  }
  return spec;
}
PacketBuilder tcp(std::uint16_t port, std::uint8_t flags) {
  return PacketBuilder(kClient, kVip).tcp(port, 80, flags);
}
PacketBuilder tcp6(std::uint16_t port, std::uint8_t flags) {
  return PacketBuilder(kClient6, kVip6).tcp(port, 80, flags);
}
PacketBuilder udp(std::uint16_t port) { return PacketBuilder(kClient, kVip).udp(port, 53); }
PacketBuilder sctp(std::uint16_t port) { return PacketBuilder(kClient, kVip).sctp(port, 9); }

// The worker knows a living connection of this port to `rs` of the TCP service (a place in it).
void connect(World& world, SpecBuilder& spec, std::uint16_t port, std::uint32_t rs) {
  spec.all_slots(kTcp, rs, rs);
  world.use(spec);
  ASSERT_EQ(world.send(tcp(port, kSyn)), "rs " + std::to_string(rs));
  ASSERT_EQ(world.send(tcp(port, kAck)), "rs " + std::to_string(rs));
}

// 1. The steady state.

TEST(PipelineSlots, SteadyStateRemembersNothing) {
  for (Scheduler scheduler : {Scheduler::Mh, Scheduler::Sh, Scheduler::Dh}) {
    World world;
    world.use(hashed(scheduler));
    std::set<std::string> used;
    for (std::uint16_t port = 1; port <= 1250; ++port) {
      std::string rs = world.send(tcp(port, kSyn));
      used.insert(rs);
      EXPECT_EQ(world.send(tcp(port, kAck)), rs);
      EXPECT_EQ(world.send(tcp(port, kAck | kPsh)), rs);
      EXPECT_EQ(world.send(tcp(port, kAck | kFin)), rs);
      EXPECT_EQ(world.send(tcp(port, kSyn | kAck)), rs);
      EXPECT_EQ(world.send(udp(port)), world.send(udp(port)));
      EXPECT_EQ(world.send(tcp6(port, kSyn)), world.send(tcp6(port, kRst)));
      world.send(sctp(port));
    }
    world.maintain();
    EXPECT_EQ(world.flows(), 0U);
    EXPECT_EQ(world.counters().worker.flows_new.get(), 0U);
    EXPECT_EQ(world.counters().worker.flows_expired.get(), 0U);
    EXPECT_EQ(world.counters().services[kTcp].new_flows.get(), 1250U) << "SYNs";
    EXPECT_EQ(world.counters().services[kTcp6].new_flows.get(), 1250U);
    EXPECT_EQ(world.counters().services[kUdp].new_flows.get(), 0U);
    EXPECT_EQ(world.counters().services[kTcp].unknown_flows.get(), 0U);
    EXPECT_EQ(world.counters().services[kTcp].packets.get(), 5U * 1250);
    std::uint64_t by_rs = 0;
    for (int rs = 0; rs < 3; ++rs) by_rs += world.counters().rs[rs].new_flows.get();
    EXPECT_EQ(by_rs, 1250U);
    EXPECT_EQ(used.size(), scheduler == Scheduler::Mh ? 3U : 1U);
    world.check_counters();
  }
}

TEST(PipelineSlots, OwnerOfTheSlotTakesThePacket) {
  for (Scheduler scheduler : {Scheduler::Mh, Scheduler::Sh, Scheduler::Dh}) {
    World world;
    auto spec = hashed(scheduler);
    world.use(spec);
    const Service& service = world.table().services()[kTcp];
    const lb_hash_key& secret = world.table().flow_key();
    for (std::uint16_t port = 1; port <= 200; ++port) {
      const std::string client = "198.51.100." + std::to_string(port);
      FlowKey4 key{};
      key.client = ip(client).as_v4();
      key.vip = ip(kVip).as_v4();
      key.client_port = Be16::from_host(port);
      key.vip_port = Be16::from_host(80);
      key.proto = 6;
      const std::uint64_t hash = scheduler == Scheduler::Mh   ? flow_hash(key, secret)
                                 : scheduler == Scheduler::Sh ? client_hash(key, secret)
                                                              : vip_hash(key, secret);
      const std::uint32_t owner = service.table->hot(lb_hash_slot(hash, 42, SlotTable::kSlots));
      EXPECT_EQ(world.send(PacketBuilder(client, kVip).tcp(port, 80, kAck)),
                "rs " + std::to_string(owner));
    }
  }
}

TEST(PipelineSlots, NobodyIsNoBackend) {
  World world;
  auto spec = hashed();
  spec.all_slots(kTcp, LB_SLOT_NOBODY).without_table(kUdp).all_slots(kSctp, 1);
  spec.spec().real_servers[7].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kSyn)), "no_backend");
  EXPECT_EQ(world.send(tcp(1, kAck)), "no_backend");
  EXPECT_EQ(world.send(udp(1)), "no_backend") << "no table";
  EXPECT_EQ(world.send(sctp(1)), "no_backend") << "an owner that is not up";
  EXPECT_EQ(world.counters().services[kTcp].drops.get(), 2U);
  EXPECT_EQ(world.counters().services[kTcp].new_flows.get(), 0U);
  EXPECT_EQ(world.flows(), 0U);
}

TEST(PipelineSlots, SorryServerIsAnOwnerLikeOthers) {
  World world;
  SpecBuilder spec;
  spec.service("192.0.2.10:80/tcp", Scheduler::Mh);
  spec.rs();
  spec.sorry().rs();
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 0");
  spec.spec().real_servers[0].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
  EXPECT_EQ(world.flows(), 0U);
}

TEST(PipelineSlots, ChecksComeBeforeTheSlot) {
  World world;
  world.use(hashed());
  EXPECT_EQ(world.send(PacketBuilder(kVip, kVip).tcp(1, 80, kAck)), "bad_source");
  EXPECT_EQ(world.send(PacketBuilder(kVip6, kVip6).tcp(1, 80, kAck)), "bad_source");
  EXPECT_EQ(world.send(tcp(1, kAck).ttl(1)), "reply");
  EXPECT_EQ(world.send(PacketBuilder(kVip, kVip).ttl(1).tcp(1, 80, kAck)), "bad_source");
  EXPECT_EQ(world.send(PacketBuilder(kClient, kVip).tcp(1, 81, kAck)), "vip_unmatched");
}

// 2. The memory is asked first.

TEST(PipelineSlots, MemoryGoesBeforeTheSlotInTransitions) {
  for (bool closed : {false, true}) {
    World world;
    auto spec = hashed();
    connect(world, spec, 1, 2);
    closed ? spec.all_except(kTcp, 1) : spec.all_slots(kTcp, 1, 0);
    world.use(spec);
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 2");
    EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 2") << "a repeated SYN follows its flow";
    EXPECT_EQ(world.active(2), 1U);
    EXPECT_EQ(world.send(tcp(1, kAck | kFin)), "rs 2");
    EXPECT_EQ(world.inactive(2), 1U) << "the state machine goes on";
    EXPECT_EQ(world.flows(), 1U);
    world.check_counters();
  }
}

TEST(PipelineSlots, MemoryIsNotAskedInSteadyState) {
  World world;
  auto spec = hashed();
  connect(world, spec, 1, 2);
  spec.all_slots(kTcp, 1);
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
}

TEST(PipelineSlots, ASynDoesNotFollowAFlowThatIsOver) {
  for (std::uint8_t last : {kRst, kFin}) {  // CLOSE; SYN_RECV and FIN: TIME_WAIT
    for (bool closed : {false, true}) {
      World world;
      auto spec = hashed();
      spec.all_slots(kTcp, 2, 2);
      world.use(spec);
      world.send(tcp(1, kSyn));
      if (last == kRst) world.send(tcp(1, kAck));
      EXPECT_EQ(world.send(tcp(1, last | kAck)), "rs 2");
      closed ? spec.all_except(kTcp, 1) : spec.all_slots(kTcp, 1, 0);
      world.use(spec);
      EXPECT_EQ(world.send(tcp(1, kAck)), "rs 2") << "what is left of it stays";
      EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
      EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1") << "the old entry does not come back";
      EXPECT_EQ(world.flows(), closed ? 0U : 1U);
      world.check_counters();
    }
  }
}

TEST(PipelineSlots, ASynDoesNotFollowAFlowToADrainingServer) {
  for (bool closed : {false, true}) {
    World world;
    auto spec = hashed();
    connect(world, spec, 1, 2);
    spec.spec().real_servers[2].weight = 0;
    closed ? spec.all_except(kTcp, 1) : spec.all_slots(kTcp, 1, 2);
    world.use(spec);
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 2") << "it drains";
    EXPECT_EQ(world.send(tcp(1, kSyn | kAck)), "rs 2") << "that is no SYN";
    EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
    world.check_counters();
  }
}

TEST(PipelineSlots, FlowsOfADeadServerAreIgnoredAndForgotten) {
  for (std::uint8_t flags : {kAck, kSyn}) {
    for (bool closed : {false, true}) {
      World world;
      auto spec = hashed();
      connect(world, spec, 1, 2);
      closed ? spec.all_except(kTcp, 1) : spec.all_slots(kTcp, 1, 0);
      spec.spec().real_servers[2].up = false;
      world.use(spec);
      const std::string now = closed || flags == kSyn ? "rs 1" : "rs 0";
      EXPECT_EQ(world.send(tcp(1, flags)), now);
      spec.spec().real_servers[2].up = true;
      world.use(spec);
      EXPECT_EQ(world.send(tcp(1, kAck)), now) << "the flow has moved for good";
      world.check_counters();
    }
  }
}

TEST(PipelineSlots, FlowsOfAServerThatIsGoneAreIgnored) {
  World world;
  auto spec = hashed();
  connect(world, spec, 1, 2);
  spec.spec().real_servers[2].id = make_rs_id(2, 2);
  spec.all_except(kTcp, 1);
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
  EXPECT_EQ(world.flows(), 0U);
  world.check_counters();
}

TEST(PipelineSlots, FlowsPastTheirTimeoutAreUnknown) {
  World world;
  auto spec = hashed();
  spec.spec().services[kTcp].timeouts.established_ms = 5'000;
  connect(world, spec, 1, 2);
  spec.all_except(kTcp, 1);
  world.use(spec);
  world.now += 5'000;
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 2");
  world.now += 5'001;
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
  world.check_counters();
}

// 3. Unknown flows in an open slot.

TEST(PipelineSlots, ASynGoesToTheOwnerAndIsRememberedAtOnce) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  EXPECT_EQ(world.half_open(), 1U);
  EXPECT_EQ(world.inactive(1), 1U);
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  EXPECT_EQ(world.counters().services[kTcp].new_flows.get(), 1U);
  EXPECT_EQ(world.counters().rs[1].new_flows.get(), 1U);
  world.use(spec.all_slots(kTcp, 2, 0));  // a later change while it is open
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1") << "repeated across a change";
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
  EXPECT_EQ(world.half_open(), 0U) << "promoted by its first ACK";
  EXPECT_EQ(world.active(1), 1U);
  world.use(spec.all_except(kTcp, 2));
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
  EXPECT_EQ(world.counters().services[kTcp].unremembered.get(), 0U);
  world.check_counters();
}

TEST(PipelineSlots, OtherSegmentsGoToTheOldServerAndAreRemembered) {
  for (bool drains : {false, true}) {
    World world;
    auto spec = hashed();
    spec.spec().real_servers[0].weight = drains ? 0 : 1;
    world.use(spec.all_slots(kTcp, 1, 0));
    const std::uint8_t kinds[] = {kAck, kAck | kPsh, kAck | kFin, kRst, kSyn | kAck, kUrg};
    std::uint16_t port = 0;
    for (std::uint8_t flags : kinds) {
      EXPECT_EQ(world.send(tcp(++port, flags)), "rs 0") << int{flags};
      EXPECT_EQ(world.flows(), port);
    }
    world.use(spec.all_except(kTcp, 1));
    for (; port > 0; --port) EXPECT_EQ(world.send(tcp(port, kAck)), "rs 0");
    EXPECT_EQ(world.half_open(), 0U);
    EXPECT_EQ(world.counters().services[kTcp].new_flows.get(), 0U) << "they were there";
    EXPECT_EQ(world.counters().rs[0].new_flows.get(), 0U);
    EXPECT_EQ(world.counters().services[kTcp].unknown_flows.get(), 0U);
    EXPECT_EQ(world.counters().worker.flows_new.get(), std::size(kinds));
    world.check_counters();
  }
}

// An entry in CLOSE, as an ACK out of nothing makes it elsewhere, would be over in ten seconds.
TEST(PipelineSlots, ASegmentsConnectionIsTakenForEstablished) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0");
  EXPECT_EQ(world.active(0), 1U);
  world.use(spec.all_except(kTcp, 1));
  world.age(800'000);
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0");
  EXPECT_EQ(world.send(tcp(2, kAck)), "rs 1");
  world.check_counters();
}

TEST(PipelineSlots, OldServerThatIsDeadLeavesAllToTheOwner) {
  World world;
  auto spec = hashed();
  spec.spec().services[kUdp].affinity = Affinity::Transition;
  spec.spec().real_servers[0].up = spec.spec().real_servers[3].up = false;
  world.use(spec.all_slots(kTcp, 1, 0).all_slots(kUdp, 1, 0));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  EXPECT_EQ(world.send(tcp(2, kAck)), "rs 1");
  EXPECT_EQ(world.send(udp(3)), "rs 4");
  EXPECT_EQ(world.flows(), 3U) << "remembered";
  world.check_counters();
}

TEST(PipelineSlots, OpenSlotWithoutAnOwnerStillDrains) {
  World world;
  auto spec = hashed();
  spec.spec().real_servers[0].weight = 0;
  world.use(spec.all_slots(kTcp, LB_SLOT_NOBODY, 0));
  EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0");
  EXPECT_EQ(world.send(tcp(2, kSyn)), "no_backend");
  EXPECT_EQ(world.flows(), 1U);
  EXPECT_EQ(world.counters().services[kTcp].new_flows.get(), 0U);
}

TEST(PipelineSlots, AnOwnerThatIsTheOldServerTakesAll) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 0, 0));  // back again, in the window
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 0");
  EXPECT_EQ(world.send(tcp(2, kAck)), "rs 0");
  EXPECT_EQ(world.flows(), 2U) << "while it was another's some went there";
}

TEST(PipelineSlots, DatagramsInTransitionStayWithTheOldServer) {
  for (auto [make, service, first] : {std::tuple{&udp, kUdp, 3U}, std::tuple{&sctp, kSctp, 6U}}) {
    World world;
    auto spec = hashed();
    auto rs = [base = first](std::uint32_t place) { return "rs " + std::to_string(base + place); };
    world.use(spec.all_slots(service, 1, 0));
    EXPECT_EQ(world.send(make(1)), rs(0));
    EXPECT_EQ(world.flows(), 1U);
    spec.spec().real_servers[first].weight = 0;
    world.use(spec);
    EXPECT_EQ(world.send(make(1)), rs(0)) << "the memory knows it";
    EXPECT_EQ(world.send(make(2)), rs(1)) << "the old server drains";
    EXPECT_EQ(world.flows(), 2U);
    world.use(spec.all_except(service, 2));
    EXPECT_EQ(world.send(make(1)), rs(0));
    EXPECT_EQ(world.send(make(2)), rs(1));
    EXPECT_EQ(world.send(make(3)), rs(2)) << "unknown, and closed: not remembered";
    EXPECT_EQ(world.flows(), 2U);
    EXPECT_EQ(world.counters().services[service].new_flows.get(), 0U);
    world.check_counters();
  }
}

TEST(PipelineSlots, DatagramsThatAreAlwaysRememberedGoToTheOwner) {
  for (bool open : {false, true}) {
    World world;
    auto spec = hashed();
    spec.spec().services[kUdp].affinity = Affinity::Always;
    world.use(open ? spec.all_slots(kUdp, 1, 0) : spec.all_slots(kUdp, 1));
    EXPECT_EQ(world.send(udp(1)), "rs 4");
    EXPECT_EQ(world.send(udp(1)), "rs 4");
    EXPECT_EQ(world.flows(), 1U);
    EXPECT_EQ(world.counters().services[kUdp].new_flows.get(), 1U);
    world.use(spec.all_slots(kUdp, 2));
    EXPECT_EQ(world.send(udp(1)), "rs 4") << "also where the slot does not ask";
    EXPECT_EQ(world.send(udp(2)), "rs 5");
    spec.spec().real_servers[4].up = false;
    world.use(spec);
    EXPECT_EQ(world.send(udp(1)), "rs 5");
    EXPECT_EQ(world.flows(), 2U);
    world.check_counters();
  }
}

TEST(PipelineSlots, DatagramsThatAreNeverRememberedGoToTheOwner) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kUdp, 1, 0));
  EXPECT_EQ(world.send(udp(1)), "rs 3");
  spec.spec().services[kUdp].affinity = Affinity::None;
  world.use(spec);
  EXPECT_EQ(world.send(udp(1)), "rs 4") << "the memory is not asked";
  EXPECT_EQ(world.send(udp(2)), "rs 4");
  EXPECT_EQ(world.flows(), 1U);
}

TEST(PipelineSlots, AffinityIsNothingToTcp) {
  for (Affinity affinity : {Affinity::Always, Affinity::None}) {
    World world;
    auto spec = hashed();
    spec.spec().services[kTcp].affinity = affinity;
    world.use(spec.all_slots(kTcp, 1));
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 1");
    EXPECT_EQ(world.flows(), 0U);
    world.use(spec.all_slots(kTcp, 1, 0));
    EXPECT_EQ(world.send(tcp(1, kAck)), "rs 0");
    EXPECT_EQ(world.send(tcp(2, kSyn)), "rs 1");
    EXPECT_EQ(world.flows(), 2U);
  }
}

// 4. Unknown flows in a closed slot with exceptions.

TEST(PipelineSlots, ExceptionsAreNotMade) {
  World world;
  auto spec = hashed();
  world.use(spec.all_except(kTcp, 1).all_except(kUdp, 1));
  EXPECT_EQ(world.send(tcp(1, kSyn)), "rs 1");
  EXPECT_EQ(world.send(tcp(2, kAck)), "rs 1");
  EXPECT_EQ(world.send(udp(3)), "rs 4");
  EXPECT_EQ(world.flows(), 0U);
  EXPECT_EQ(world.counters().services[kTcp].new_flows.get(), 1U) << "the SYN";
}

// Both families, and slots of all kinds in one table: each packet is judged by its own.
TEST(PipelineSlots, AreJudgedOneByOne) {
  World world;
  auto spec = hashed();
  auto mixed = [](SlotTable& table) {
    for (std::uint32_t slot = 0; slot < table.slots(); ++slot) {
      table.set_owner(slot, 1);
      if (slot % 3 == 1) table.open(slot, 0);
      if (slot % 3 == 2) table.except(slot);
    }
  };
  world.use(spec.slots(kTcp, mixed).slots(kTcp6, mixed));
  std::uint64_t open = 0;
  for (std::uint16_t port = 1; port <= 600; ++port) {
    const std::string to = world.send(tcp(port, kAck));
    const std::string to6 = world.send(tcp6(port, kAck));
    EXPECT_TRUE(to == "rs 0" || to == "rs 1");
    EXPECT_TRUE(to6 == "rs 9" || to6 == "rs 10");
    open += (to == "rs 0") + (to6 == "rs 9");
  }
  EXPECT_EQ(world.flows(), open);
  EXPECT_NEAR(static_cast<double>(open), 400, 80);
  world.check_counters();
}

TEST(PipelineSlots, AgreeOnANewFlowWithinOneBatch) {
  World world;
  auto spec = hashed();
  world.use(spec.all_slots(kTcp, 1, 0));
  std::vector<Bytes> frames;
  for (int i = 0; i < 200; ++i) {
    frames.push_back(tcp(static_cast<std::uint16_t>(1 + i % 9), i < 9 ? kSyn : kAck).build());
  }
  for (const Bytes& frame : world.send(frames)) EXPECT_EQ(World::target(frame), "rs 1");
  EXPECT_EQ(world.flows(), 9U);
  world.check_counters();
}

}  // namespace
}  // namespace lb
