// SPDX-License-Identifier: Apache-2.0
// The rows of the design's table of odd packets, one worker. Fragments, several workers and the
// counters' model have files of their own.
#include "dataplane/pipeline.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/pipeline_world.h"
#include "tests/support/slot_table.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

PacketBuilder tcp(std::uint16_t port = 4711, std::uint8_t flags = kSyn,
                  std::uint16_t vip_port = 80) {
  return PacketBuilder(kClient, kVip).tcp(port, vip_port, flags);
}
PacketBuilder tcp6(std::uint16_t port = 4711, std::uint8_t flags = kSyn) {
  return PacketBuilder(kClient6, kVip6).tcp(port, 80, flags);
}
PacketBuilder udp(std::uint16_t port = 4711) { return PacketBuilder(kClient, kVip).udp(port, 53); }

// Two RS for TCP (slots 0 and 1), two for UDP (2, 3), two for IPv6 TCP (4, 5).
SpecBuilder basic(Scheduler scheduler = Scheduler::Rr) {
  SpecBuilder spec;
  for (const char* address : {"192.0.2.10:80/tcp", "192.0.2.10:53/udp", "[2001:db8::10]:80/tcp"}) {
    spec.service(address, scheduler);
    spec.rs();
    spec.rs();
  }
  return spec;
}

SpecBuilder hashed(Scheduler scheduler = Scheduler::Mh) {
  SpecBuilder spec = basic(scheduler);
  for (Service& service : spec.spec().services) service.hash_key = 42;
  return spec;
}

TEST(Pipeline, ForwardsAFlowToItsRealServerOnly) {
  World world;
  world.use(basic());
  for (auto make : {+[](std::uint16_t port) { return tcp(port).build(); },
                    +[](std::uint16_t port) { return tcp6(port).build(); },
                    +[](std::uint16_t port) { return udp(port).build(); }}) {
    std::string first = world.send(make(1));
    std::string second = world.send(make(2));
    EXPECT_EQ(first.substr(0, 3), "rs ");
    EXPECT_NE(first, second) << "round robin";
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(world.send(make(1)), first);
      EXPECT_EQ(world.send(make(2)), second);
    }
  }
  world.check_counters();
}

TEST(Pipeline, SendsTheFrameThatWouldHaveBeenBuilt) {
  World world;
  auto spec = basic();
  spec.spec().real_servers[0].vlan = 9;
  world.use(spec);
  std::string to = world.send(tcp().vlan(5));
  ASSERT_EQ(to.substr(0, 3), "rs ");
  auto expected = tcp().ttl(63);
  if (to == "rs 0") expected.vlan(9);
  MacAddr rs{{2, 0, 0, 0, 1, static_cast<std::uint8_t>(to.back() - '0')}};
  EXPECT_EQ(world.sent().front(), expected.ethernet(rs, mac("02:00:00:00:0f:01")).build());
}

TEST(Pipeline, AgreesOnANewFlowWithinOneBatch) {
  World world;
  world.use(basic());
  std::vector<Bytes> frames;
  for (int i = 0; i < 256; ++i) {
    frames.push_back(tcp(static_cast<std::uint16_t>(1 + i % 7), i < 7 ? kSyn : kAck).build());
  }
  auto sent = world.send(frames);
  ASSERT_EQ(sent.size(), 256U);
  for (std::size_t i = 7; i < 256; ++i) {
    EXPECT_EQ(World::target(sent[i]), World::target(sent[i % 7])) << i;
  }
  EXPECT_EQ(world.counters().worker.flows_new.get(), 7U);
  EXPECT_EQ(world.counters().services[0].packets.get(), 256U);
  EXPECT_EQ(world.counters().services[0].bytes.get(), 256U * 54);
  EXPECT_EQ(world.counters().rs[0].packets.get() + world.counters().rs[1].packets.get(), 256U);
  world.check_counters();
}

TEST(Pipeline, FollowsTheTcpStateInItsCounters) {
  World world;
  world.use(basic());
  std::string rs = world.send(tcp(1, kSyn));
  std::uint32_t slot = rs == "rs 0" ? 0 : 1;
  EXPECT_EQ(world.inactive(slot), 1U);
  EXPECT_EQ(world.send(tcp(1, kAck)), rs);
  EXPECT_EQ(world.active(slot), 1U);
  EXPECT_EQ(world.inactive(slot), 0U);
  EXPECT_EQ(world.send(tcp(1, kAck | kFin)), rs);
  EXPECT_EQ(world.active(slot), 0U);
  EXPECT_EQ(world.inactive(slot), 1U);
  world.check_counters();
}

TEST(Pipeline, CountsNonSynOfUnknownFlowsAndSchedulesThem) {
  World world;
  world.use(basic());
  EXPECT_EQ(world.send(tcp(1, kAck)).substr(0, 3), "rs ");
  EXPECT_EQ(world.send(tcp(2, kSyn | kAck)).substr(0, 3), "rs ") << "SYN+ACK is non-SYN";
  EXPECT_EQ(world.counters().services[0].unknown_flows.get(), 2U);
  EXPECT_EQ(world.send(tcp(3, kSyn)).substr(0, 3), "rs ");
  EXPECT_EQ(world.send(tcp(1, kAck)).substr(0, 3), "rs ");
  EXPECT_EQ(world.counters().services[0].unknown_flows.get(), 2U);
  world.check_counters();
}

TEST(Pipeline, PicksByHashAloneForHashedSchedulers) {
  for (Scheduler scheduler : {Scheduler::Mh, Scheduler::Sh, Scheduler::Dh}) {
    World one;
    World other;
    one.use(hashed(scheduler));
    other.use(hashed(scheduler));
    std::set<std::string> used;
    for (std::uint16_t port = 1; port < 100; ++port) {
      std::string rs = one.send(tcp(port, kSyn));
      EXPECT_EQ(other.send(tcp(port, kAck)), rs) << "after a failover the flow keeps its RS";
      used.insert(rs);
    }
    EXPECT_EQ(used.size(), scheduler == Scheduler::Mh ? 2U : 1U);
  }
}

TEST(Pipeline, KeepsFlowsOfWeightZeroAndSendsNewOnesElsewhere) {
  World world;
  auto spec = basic();
  world.use(spec);
  std::string rs = world.send(tcp(1));
  std::size_t slot = rs == "rs 0" ? 0 : 1;
  spec.spec().real_servers[slot].weight = 0;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kAck)), rs);
  for (std::uint16_t port = 10; port < 20; ++port) EXPECT_NE(world.send(tcp(port)), rs);
  EXPECT_EQ(world.send(tcp(1, kAck)), rs);
}

TEST(Pipeline, TreatsFlowsOfADeadRealServerAsUnknown) {
  World world;
  auto spec = basic();
  world.use(spec);
  std::string rs = world.send(tcp(1));
  std::size_t slot = rs == "rs 0" ? 0 : 1;
  spec.spec().real_servers[slot].up = false;
  world.use(spec);
  std::string other = world.send(tcp(1, kAck));
  EXPECT_NE(other, rs);
  EXPECT_EQ(other.substr(0, 3), "rs ");
  EXPECT_EQ(world.counters().services[0].unknown_flows.get(), 1U);
  spec.spec().real_servers[slot].up = true;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1, kAck)), other) << "the flow has moved for good";
  world.check_counters();
}

TEST(Pipeline, CountsForTheSlotOfAStaleId) {
  World world;
  auto spec = basic();
  world.use(spec);
  std::string rs = world.send(tcp(1));
  std::uint32_t slot = rs == "rs 0" ? 0 : 1;
  spec.spec().real_servers[slot].id = make_rs_id(slot, 2);  // another RS in the same slot
  spec.spec().real_servers[slot].weight = 0;
  world.use(spec);
  EXPECT_EQ(world.inactive(slot), 1U);
  EXPECT_NE(world.send(tcp(1, kSyn)), rs);
  EXPECT_EQ(world.inactive(slot), 0U);
  world.check_counters();
}

TEST(Pipeline, SweepsFlowsThatAreOver) {
  World world;
  auto spec = basic();
  world.use(spec);
  for (std::uint16_t port = 1; port <= 100; ++port) world.send(tcp(port));
  for (std::uint16_t port = 1; port <= 50; ++port) world.send(udp(port));
  auto turn = [&] {
    for (int i = 0; i <= 60; ++i) {
      world.now += 1000;
      world.maintain();
    }
    world.check_counters();
  };
  world.maintain();
  EXPECT_EQ(world.pipeline().flows4().size(), 150U);
  turn();
  turn();
  EXPECT_EQ(world.pipeline().flows4().size(), 50U) << "SYN_RECV lasts a minute, UDP five";
  spec.spec().real_servers[2].id = make_rs_id(2, 9);
  world.use(spec);
  turn();
  EXPECT_EQ(world.pipeline().flows4().size(), 25U) << "those of an RS that is gone";
  for (int i = 0; i < 5; ++i) turn();
  EXPECT_EQ(world.pipeline().flows4().size(), 0U);
  EXPECT_EQ(world.counters().worker.flows_expired.get(), 150U);
}

TEST(Pipeline, SchedulesAnewAfterTheTimeoutOfTheState) {
  World world;
  auto spec = basic();
  spec.spec().services[0].timeouts.syn_recv_ms = 5000;
  world.use(spec);
  std::string rs = world.send(tcp(1));
  world.now += 5000;
  EXPECT_EQ(world.send(tcp(1)), rs);
  world.now += 5001;
  EXPECT_NE(world.send(tcp(1)), rs) << "round robin goes on";
  EXPECT_EQ(world.counters().worker.flows_new.get(), 2U);
  world.check_counters();
}

TEST(Pipeline, SchedulesASynAnewWhenTheConnectionIsOver) {
  World world;
  world.use(basic());
  std::string rs = world.send(tcp(1, kSyn));
  world.send(tcp(1, kAck));
  EXPECT_EQ(world.send(tcp(1, kRst)), rs);  // CLOSE
  EXPECT_EQ(world.send(tcp(1, kAck)), rs) << "stays with the flow";
  EXPECT_NE(world.send(tcp(1, kSyn)), rs);
  world.check_counters();
}

TEST(Pipeline, TurnsToTheSorryServerOnlyWhenNoneIsUp) {
  World world;
  SpecBuilder spec;
  spec.service("192.0.2.10:80/tcp");
  spec.rs();
  spec.sorry().rs();
  world.use(spec);
  EXPECT_EQ(world.send(tcp(1)), "rs 0");
  spec.spec().real_servers[0].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(2)), "rs 1");
  EXPECT_EQ(world.send(tcp(2, kAck)), "rs 1");
  spec.spec().real_servers[1].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(tcp(3)), "no_backend");
  EXPECT_EQ(world.counters().services[0].drops.get(), 1U);
}

TEST(Pipeline, DropsWhatNoServiceTakes) {
  World world;
  world.use(basic());
  EXPECT_EQ(world.send(tcp(1, kSyn, 81)), "vip_unmatched");
  EXPECT_EQ(world.send(PacketBuilder(kClient, "192.0.2.99").tcp(1, 80, kSyn)), "vip_unmatched");
  EXPECT_EQ(world.send(PacketBuilder(kClient, kVip).sctp(1, 80)), "vip_unmatched");
  EXPECT_EQ(world.pipeline().flows4().size(), 0U);
}

TEST(Pipeline, DropsASourceThatIsAVip) {
  World world;
  world.use(basic());
  EXPECT_EQ(world.send(PacketBuilder(kVip, kVip).tcp(80, 80, kSyn)), "bad_source") << "land";
  EXPECT_EQ(world.send(PacketBuilder(kVip6, kVip6).tcp(1, 80, kSyn)), "bad_source");
  EXPECT_EQ(world.send(PacketBuilder(kVip, kVip).echo_request(1, 1)), "bad_source");
  EXPECT_EQ(world.send(PacketBuilder(kVip, kVip).ttl(1).udp(1, 53)), "bad_source");
  EXPECT_EQ(world.send(PacketBuilder(kVip, kVip).fragment(8, false).protocol(17, Bytes(9))),
            "bad_source");
  EXPECT_EQ(world.send(tcp(1, kSyn | kFin)), "bad_flags");
}

TEST(Pipeline, AsksForTheNeighbourItMisses) {
  World world;
  auto spec = basic();
  spec.spec().real_servers[2].has_mac = spec.spec().real_servers[3].has_mac = false;
  world.use(spec);
  EXPECT_EQ(world.send(udp(1)), "no_neighbour");
  EXPECT_EQ(world.send(udp(1)), "no_neighbour");
  EXPECT_EQ(world.send(udp(2)), "no_neighbour");
  EXPECT_EQ(world.resolve_requests(), (std::vector<std::uint32_t>{2, 3}));
  EXPECT_TRUE(world.resolve_requests().empty());
}

TEST(Pipeline, DropsTowardsAPortThatIsDown) {
  World world;
  auto spec = basic();
  spec.spec().ports[1].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(tcp()), "tx_link_down");
  spec.spec().ports[1] = {spec.spec().ports[1].mac, 100, true};
  world.use(spec);
  EXPECT_EQ(world.send(udp().payload(73)), "too_large");
  EXPECT_EQ(world.send(udp().payload(72)).substr(0, 3), "rs ");
}

TEST(Pipeline, NeedsHeadroomOnlyForATag) {
  World world;
  auto spec = basic();
  for (auto& rs : spec.spec().real_servers) rs.vlan = 5;
  world.use(spec);
  EXPECT_EQ(world.send(tcp().build(), 0, 3), "no_headroom");
  EXPECT_EQ(world.send(tcp().build(), 0, 4).substr(0, 3), "rs ");
}

TEST(Pipeline, AnswersAnExpiredTtlAtARate) {
  PipelineOptions options = World::small();
  options.icmp_rate = 3;
  World world(1, options);
  world.use(basic());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.send(udp().ttl(1)), "reply");
  EXPECT_EQ(world.send(tcp6().ttl(1)), "ttl_expired") << "the bucket is empty";
  EXPECT_EQ(world.counters().worker.icmp_suppressed.get(), 1U);
  world.now += 1000;
  EXPECT_EQ(world.send(tcp6().ttl(0)), "reply");
  EXPECT_EQ(world.counters().worker.icmp_time_exceeded.get(), 4U);
  EXPECT_EQ(world.drops(DropReason::TtlExpired), 5U);
  EXPECT_EQ(world.pipeline().flows4().size() + world.pipeline().flows6().size(), 0U);
  EXPECT_EQ(world.send(tcp(1, kSyn, 81).ttl(1)), "vip_unmatched");
}

TEST(Pipeline, LeavesTheTtlAloneWhenToldSo) {
  World world;
  auto spec = basic();
  spec.spec().decrement_ttl = false;
  world.use(spec);
  EXPECT_EQ(world.send(udp().ttl(1)).substr(0, 3), "rs ");
  EXPECT_EQ(world.sent().front().at(22), 1);
}

TEST(Pipeline, AnswersEchoAsTheVipSays) {
  World world;
  auto spec = basic();
  world.use(spec);
  EXPECT_EQ(world.send(PacketBuilder(kClient, kVip).ttl(1).echo_request(1, 1)), "reply");
  EXPECT_EQ(world.send(PacketBuilder(kClient6, kVip6).echo_request(1, 1)), "reply");
  EXPECT_EQ(world.send(PacketBuilder(kClient, "192.0.2.99").echo_request(1, 1)), "vip_unmatched");
  EXPECT_EQ(world.counters().worker.icmp_echo_replies.get(), 2U);
  spec.spec().vips[0].echo_reply = false;
  world.use(spec);
  EXPECT_EQ(world.send(PacketBuilder(kClient, kVip).echo_request(1, 1)), "vip_unmatched");
}

TEST(Pipeline, SendsAnIcmpErrorAfterItsFlow) {
  World world;
  world.use(basic());
  std::string rs = world.send(tcp(4711));
  Bytes reply = PacketBuilder(kVip, kClient).tcp(80, 4711, kAck).build();
  EXPECT_EQ(world.send(icmp_error(kRouter, reply, 3, 4, 28, 1400)), rs);
  std::string rs6 = world.send(tcp6(4711));
  Bytes reply6 = PacketBuilder(kVip6, kClient6).tcp(80, 4711, kAck).payload(100).build();
  EXPECT_EQ(world.send(icmp_error("2001:db8:9::1", reply6, 2, 0, 48, 1280)), rs6);
  EXPECT_EQ(world.counters().worker.icmp_errors_forwarded.get(), 2U);
  Bytes unknown = PacketBuilder(kVip, kClient).tcp(80, 4712, kAck).build();
  EXPECT_EQ(world.send(icmp_error(kRouter, unknown, 3, 4, 28)), "icmp_unknown");
  EXPECT_EQ(world.send(icmp_error(kRouter, reply, 3, 4, 28).ttl(1)), "ttl_expired");
  EXPECT_EQ(world.send(icmp_error(kVip, reply, 3, 4, 28)), "bad_source");
  EXPECT_EQ(world.pipeline().flows4().size(), 1U) << "an ICMP error makes no entry";
  world.check_counters();
}

TEST(Pipeline, SendsAnIcmpErrorOfAnUnknownFlowToItsHashPick) {
  World world;
  world.use(hashed());
  for (std::uint16_t port = 1; port < 30; ++port) {
    Bytes reply = PacketBuilder(kVip, kClient).tcp(80, port, kAck).build();
    std::string to = world.send(icmp_error(kRouter, reply, 11, 0, 28));
    EXPECT_EQ(world.send(tcp(port)), to);
    EXPECT_EQ(world.pipeline().flows4().size(), 0U);
  }
}

TEST(Pipeline, RefusesOptionsThatCannotBe) {
  Counters counters(1, 1);
  ResolveRequests resolve(1);
  auto code = [&](auto change) {
    PipelineOptions options = World::small();
    change(options);
    auto made = Pipeline::create(WorkerIndex{}, options, counters, resolve);
    return made ? 0 : made.error().code.value();
  };
  EXPECT_EQ(code([](auto& o) { o.flows_max = 0; }), EINVAL);
  EXPECT_EQ(code([](auto& o) { o.flows_max_v6 = 0; }), EINVAL);
  EXPECT_EQ(code([](auto& o) { o.held_max = kBatchMax + 1; }), EINVAL);
  EXPECT_EQ(code([](auto& o) { o.fragments_max = 0; }), EINVAL);
  EXPECT_EQ(code([](auto& o) { o.fragment_timeout_ms = 3'600'000; }), EINVAL);
  EXPECT_EQ(code([](auto&) {}), 0);
}

}  // namespace
}  // namespace lb
