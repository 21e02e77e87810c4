// SPDX-License-Identifier: Apache-2.0
// What arrives on another queue than its flow: packets, fragments in every order, ICMP errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "dataplane/pipeline.h"
#include "tests/support/pipeline_world.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

SpecBuilder spec_of_two() {
  SpecBuilder spec;
  for (const char* address : {"192.0.2.10:80/tcp", "192.0.2.10:53/udp", "[2001:db8::10]:53/udp"}) {
    spec.service(address, Scheduler::Rr);
    spec.rs();
    spec.rs();
  }
  return spec;
}

PacketBuilder tcp(std::uint16_t port, std::uint8_t flags) {
  return PacketBuilder(kClient, kVip).tcp(port, 80, flags);
}
PacketBuilder udp(bool v4, std::uint16_t port = 4711) {
  return PacketBuilder(v4 ? kClient : kClient6, v4 ? kVip : kVip6).udp(port, 53);
}
std::vector<Bytes> fragments(bool v4, std::uint32_t id, std::uint16_t port = 4711) {
  auto out = fragment(udp(v4, port).payload(84).build(), 24, id);
  EXPECT_EQ(out.size(), 4U);
  return out;
}

TEST(PipelinePeers, TakeTheRealServerThatAPeerKnows) {
  World world(2);
  world.use(spec_of_two());
  for (std::uint16_t port = 1; port < 10; ++port) {
    std::string rs = world.send(tcp(port, kSyn), 0);
    EXPECT_EQ(world.send(tcp(port, kAck), 1), rs);
    EXPECT_EQ(world.send(tcp(port, kAck), 1), rs);
    EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), port);
  }
  EXPECT_EQ(world.counters(1).worker.flows_new.get(), 0U);
  EXPECT_EQ(world.counters(1).services[0].unknown_flows.get(), 0U);
  world.check_counters();
}

// A SYN's queue is that of its flow: a flood of them must not cost a look into every worker's
// table. A first fragment is on the queue of its addresses, SYN or not.
TEST(PipelinePeers, AreNotAskedForAPlainSyn) {
  World world(2);
  world.use(spec_of_two());
  for (std::uint16_t port = 1; port < 10; ++port) {
    world.send(tcp(port, kSyn), 0);
    EXPECT_EQ(world.send(tcp(port, kSyn), 1).substr(0, 3), "rs ");
  }
  EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), 0U);
  EXPECT_EQ(world.counters(1).worker.flows_new.get(), 9U);
  std::string rs = world.send(tcp(20, kSyn), 0);
  EXPECT_EQ(world.send(tcp(20, kSyn | kAck), 1), rs);
  rs = world.send(tcp(21, kSyn), 0);
  auto pieces = fragment(tcp(21, kSyn).payload(60).build(), 24, 7);
  EXPECT_EQ(world.send(pieces.at(0), 1), rs);
  EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), 2U);
  world.check_counters();
}

TEST(PipelinePeers, AreNotFollowedWhenTheirFlowIsOver) {
  World world(2);
  auto spec = spec_of_two();
  world.use(spec);
  ASSERT_EQ(world.send(tcp(1, kSyn), 0).substr(0, 3), "rs ");
  world.now += 60'001;
  EXPECT_EQ(world.send(tcp(1, kSyn), 1).substr(0, 3), "rs ");
  EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), 0U);
  std::string two = world.send(tcp(2, kSyn), 0);
  spec.spec().real_servers[two == "rs 0" ? 0 : 1].up = false;
  world.use(spec);
  EXPECT_NE(world.send(tcp(2, kAck), 1), two);
  EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), 0U);
  world.check_counters();
}

TEST(PipelinePeers, GiveAnIcmpErrorTheWayOfItsFlow) {
  World world(2);
  world.use(spec_of_two());
  std::string rs = world.send(tcp(1, kSyn), 0);
  Bytes reply = PacketBuilder(kVip, kClient).tcp(80, 1, kAck).build();
  EXPECT_EQ(world.send(icmp_error(kRouter, reply, 3, 4, 28), 1), rs);
  EXPECT_EQ(world.pipeline(1).flows4().size(), 0U);
}

// All orders of four fragments on one worker, as single batches and as one.
TEST(PipelineFragments, FollowTheirFirstInEveryOrder) {
  for (bool v4 : {true, false}) {
    for (bool one_batch : {true, false}) {
      World world;
      world.use(spec_of_two());
      std::array<std::size_t, 4> order{};
      std::iota(order.begin(), order.end(), 0);
      std::uint32_t id = 1;
      do {
        std::string rs = world.send(udp(v4));
        auto pieces = fragments(v4, id++);
        std::vector<Bytes> frames;
        for (std::size_t i : order) frames.push_back(pieces[i]);
        std::vector<Bytes> sent;
        if (one_batch) {
          sent = world.send(frames);
        } else {
          for (const Bytes& frame : frames) {
            auto part = world.send(std::vector<Bytes>{frame});
            sent.insert(sent.end(), part.begin(), part.end());
          }
        }
        ASSERT_EQ(sent.size(), 4U);
        for (const Bytes& frame : sent) EXPECT_EQ(World::target(frame), rs);
        EXPECT_EQ(world.pipeline().held(), 0U);
      } while (std::ranges::next_permutation(order).found);
      EXPECT_EQ(world.counters().worker.fragments_first.get(), 24U);
      EXPECT_EQ(world.counters().worker.fragments_followed.get(), 72U);
      EXPECT_EQ(world.pipeline().flows4().size() + world.pipeline().flows6().size(), 1U);
    }
  }
}

// The first one on one worker, the rest on the other, before and after it.
TEST(PipelineFragments, FollowAFirstThatAPeerHasSeen) {
  for (bool v4 : {true, false}) {
    World world(2);
    world.use(spec_of_two());
    std::string rs = world.send(udp(v4), 0);
    auto late = fragments(v4, 1);
    EXPECT_EQ(world.send(late[0], 0), rs);
    for (int i = 1; i < 4; ++i) EXPECT_EQ(world.send(late[static_cast<std::size_t>(i)], 1), rs);

    auto early = fragments(v4, 2);
    for (int i = 1; i < 4; ++i) {
      EXPECT_EQ(world.send(early[static_cast<std::size_t>(i)], 1), "held");
    }
    EXPECT_EQ(world.send(early[0], 0), rs);
    EXPECT_EQ(world.pipeline(1).held(), 3U);
    world.now += 1;
    auto sent = world.maintain(1);
    ASSERT_EQ(sent.size(), 3U);
    for (const Bytes& frame : sent) EXPECT_EQ(World::target(frame), rs);

    // The first fragment itself hashes elsewhere than its flow.
    auto other = fragments(v4, 3);
    EXPECT_EQ(world.send(other[0], 1), rs);
    EXPECT_EQ(world.send(other[2], 0), rs);
    EXPECT_EQ(world.counters(1).worker.flows_from_peer.get(), 1U);
  }
}

TEST(PipelineFragments, AreDroppedWhenTheirFirstDoesNotCome) {
  World world;
  world.use(spec_of_two());
  auto pieces = fragments(true, 1);
  EXPECT_EQ(world.send(pieces[1]), "held");
  EXPECT_EQ(world.send(pieces[2]), "held");
  world.now += 2000;
  world.maintain();
  EXPECT_EQ(world.pipeline().held(), 2U);
  world.now += 1;
  world.maintain();
  EXPECT_EQ(world.pipeline().held(), 0U);
  EXPECT_EQ(world.drops(DropReason::FragmentTimeout), 2U);
  // Too late for them, in time for a new one.
  EXPECT_EQ(world.send(pieces[0]).substr(0, 3), "rs ");
  EXPECT_EQ(world.send(pieces[3]).substr(0, 3), "rs ");
  world.now += 2001;
  EXPECT_EQ(world.send(pieces[3]), "held") << "the datagram is forgotten";
}

TEST(PipelineFragments, FillTheirBufferToItsBoundOnly) {
  PipelineOptions options = World::small();
  options.held_max = 3;
  World world(1, options);
  world.use(spec_of_two());
  for (std::uint32_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(world.send(fragments(true, id)[1]), "held");
  }
  EXPECT_EQ(world.send(fragments(true, 4)[1]), "fragment_full");
  EXPECT_EQ(world.counters().worker.fragments_held.get(), 3U);
  world.send(fragments(true, 2)[0]);
  EXPECT_EQ(world.sent().size(), 2U);
  EXPECT_EQ(world.send(fragments(true, 4)[1]), "held");
  world.release_held(0);
  EXPECT_EQ(world.pipeline().held(), 0U);
}

// The largest batch and the largest buffer: BatchOut has room for both.
TEST(PipelineFragments, ComeBackAllAtOnce) {
  PipelineOptions options = World::small();
  options.held_max = kBatchMax;
  World world(1, options);
  world.use(spec_of_two());
  std::vector<Bytes> later(kBatchMax, fragments(true, 1)[1]);
  EXPECT_TRUE(world.send(later).empty());
  EXPECT_EQ(world.pipeline().held(), kBatchMax);
  std::vector<Bytes> batch(kBatchMax, udp(true).build());
  batch.back() = fragments(true, 1)[0];
  EXPECT_EQ(world.send(batch).size(), 2 * kBatchMax);
  EXPECT_EQ(world.pipeline().held(), 0U);
}

TEST(PipelineFragments, AreDroppedWithTheirRealServer) {
  World world;
  auto spec = spec_of_two();
  world.use(spec);
  auto pieces = fragments(true, 1);
  std::string rs = world.send(pieces[0]);
  spec.spec().real_servers[rs == "rs 2" ? 2 : 3].up = false;
  world.use(spec);
  EXPECT_EQ(world.send(pieces[1]), "no_backend");
}

TEST(PipelineFragments, OfNoVipAreNotHeld) {
  World world;
  world.use(spec_of_two());
  auto stray = PacketBuilder(kClient, "192.0.2.99").fragment(16, false).protocol(17, Bytes(9));
  EXPECT_EQ(world.send(stray), "vip_unmatched");
  auto old = PacketBuilder(kClient, kVip).id(5).ttl(1);
  world.send(PacketBuilder(old).ttl(9).fragment(0, true).udp(1, 53).payload(8));
  EXPECT_EQ(world.send(old.fragment(16, false).protocol(17, Bytes(9))), "ttl_expired");
}

}  // namespace
}  // namespace lb
