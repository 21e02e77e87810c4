// SPDX-License-Identifier: Apache-2.0
// The rules of slots, each by its whole table of cases.
#include "dataplane/table/slot_decision.h"

#include <gtest/gtest.h>

#include "tests/support/pipeline_world.h"

namespace lb {
namespace {

constexpr FlowPart kSyn = FlowPart::Syn, kSegment = FlowPart::Segment,
                   kDatagram = FlowPart::Datagram;
constexpr Affinity kTransition = Affinity::Transition, kAlways = Affinity::Always,
                   kNone = Affinity::None;
constexpr Affinity kAffinities[] = {kTransition, kAlways, kNone};
constexpr FlowPart kTcpParts[] = {kSyn, kSegment};

TEST(SlotDecision, OnlyASynWithoutAckOpensAConnection) {
  for (unsigned flags = 0; flags < 64; ++flags) {
    const bool opens = (flags & test::kSyn) != 0 && (flags & test::kAck) == 0;
    EXPECT_EQ(flow_part(6, static_cast<std::uint8_t>(flags)), opens ? kSyn : kSegment) << flags;
    EXPECT_EQ(flow_part(17, static_cast<std::uint8_t>(flags)), kDatagram);
    EXPECT_EQ(flow_part(132, static_cast<std::uint8_t>(flags)), kDatagram);
  }
}

TEST(SlotDecision, TcpAsksTheMemoryWhereTheSlotSaysSo) {
  for (FlowPart part : kTcpParts) {
    for (Affinity affinity : kAffinities) {
      EXPECT_FALSE(asks_memory(false, part, affinity));
      EXPECT_TRUE(asks_memory(true, part, affinity));
      EXPECT_FALSE(wants_memory(false, part, affinity)) << "closed, exceptions or not";
      EXPECT_TRUE(wants_memory(true, part, affinity));
    }
  }
}

TEST(SlotDecision, DatagramsAskTheMemoryAsTheAffinitySays) {
  EXPECT_FALSE(asks_memory(false, kDatagram, kTransition));
  EXPECT_TRUE(asks_memory(true, kDatagram, kTransition));
  EXPECT_FALSE(wants_memory(false, kDatagram, kTransition));
  EXPECT_TRUE(wants_memory(true, kDatagram, kTransition));
  for (bool on : {false, true}) {
    EXPECT_TRUE(asks_memory(on, kDatagram, kAlways));
    EXPECT_TRUE(wants_memory(on, kDatagram, kAlways));
    EXPECT_FALSE(asks_memory(on, kDatagram, kNone));
    EXPECT_FALSE(wants_memory(on, kDatagram, kNone));
  }
}

TEST(SlotDecision, OnlyAnOpenSlotSendsToAnOldServerThatIsUp) {
  for (FlowPart part : {kSyn, kSegment, kDatagram}) {
    for (Affinity affinity : kAffinities) {
      for (bool remembered : {false, true}) {
        for (bool drains : {false, true}) {
          EXPECT_FALSE(goes_to_old(false, part, affinity, remembered, {true, drains}));
          EXPECT_FALSE(goes_to_old(true, part, affinity, remembered, {false, drains}));
        }
      }
    }
  }
}

TEST(SlotDecision, InAnOpenSlotThePartOfTheFlowDecides) {
  constexpr OldServer kUp{true, false}, kDrains{true, true};
  struct Case {
    FlowPart part;
    Affinity affinity;
    bool remembered;
    bool to_up, to_draining;
  };
  for (const Case& c : {
           Case{kSyn, kTransition, true, false, false},
           Case{kSyn, kTransition, false, true, false},
           Case{kSegment, kTransition, true, true, true},
           Case{kSegment, kTransition, false, true, true},
           Case{kDatagram, kTransition, true, true, false},
           Case{kDatagram, kTransition, false, true, false},
           Case{kDatagram, kAlways, true, false, false},
           Case{kDatagram, kAlways, false, false, false},
           Case{kDatagram, kNone, false, false, false},
       }) {
    EXPECT_EQ(goes_to_old(true, c.part, c.affinity, c.remembered, kUp), c.to_up);
    EXPECT_EQ(goes_to_old(true, c.part, c.affinity, c.remembered, kDrains), c.to_draining);
  }
}

class SlotServersTest : public ::testing::Test {
 protected:
  SlotServersTest() {
    spec_.service("192.0.2.10:80/tcp", Scheduler::Mh);
    for (int i = 0; i < 3; ++i) spec_.rs();
    spec_.slots(0, [](test::SlotTable& table) {
      table.set_owner(0, 0);
      table.set_owner(1, 1).open(1, 2);
      table.set_owner(2, 2).except(2);
      table.set_owner(3, LB_SLOT_NOBODY);
    });
  }
  /// The slots of the owner and of the old server, -1: none.
  std::pair<int, int> servers(std::uint32_t slot) {
    generation_ = spec_.build();
    auto found = slot_servers(*generation_, generation_->services()[0], slot);
    auto number = [](const RealServer* rs) { return rs == nullptr ? -1 : int(slot_of(rs->id)); };
    open_ = found.open;
    return {number(found.owner), number(found.old)};
  }
  test::SpecBuilder spec_;
  std::unique_ptr<ServiceTable> generation_;
  bool open_ = false;
};

using Pair = std::pair<int, int>;

TEST_F(SlotServersTest, AreThoseOfTheGeneration) {
  EXPECT_EQ(servers(0), Pair(0, -1));
  EXPECT_FALSE(open_);
  EXPECT_EQ(servers(1), Pair(1, 2));
  EXPECT_TRUE(open_);
  EXPECT_EQ(servers(2), Pair(2, -1)) << "a closed slot has no old server";
  EXPECT_FALSE(open_);
}

TEST_F(SlotServersTest, AreNobodyWhenTheMemberIsNone) {
  EXPECT_EQ(servers(3), Pair(-1, -1));
  test::SlotTable beyond(spec_.spec(), spec_.spec().services[0]);
  beyond.set_owner(4, 7).open(4, 3);
  Service service = generation_->services()[0];
  service.table = beyond.take();
  auto found = slot_servers(*generation_, service, 4);
  EXPECT_EQ(found.owner, nullptr) << "beyond the members";
  EXPECT_EQ(found.old, nullptr);
}

TEST_F(SlotServersTest, AreOnlyThoseThatAreUp) {
  spec_.spec().real_servers[1].up = false;
  EXPECT_EQ(servers(1), Pair(-1, 2));
  spec_.spec().real_servers[1].up = true;
  spec_.spec().real_servers[2].up = false;
  EXPECT_EQ(servers(1), Pair(1, -1));
}

TEST_F(SlotServersTest, AreNotThoseOfAnotherIncarnation) {
  auto old = spec_.build();
  spec_.spec().real_servers[1].id = make_rs_id(1, 2);
  auto now = spec_.build();
  EXPECT_EQ(slot_servers(*now, old->services()[0], 1).owner, nullptr);
}

TEST(SlotDecision, TheSchedulerSaysByWhatASlotIsChosen) {
  test::SpecBuilder spec;
  Service& service = spec.service("192.0.2.10:80/tcp");
  service.hash_key = 99;
  spec.rs();
  spec.with_table(0);
  FlowKey4 key;
  key.client = Be32::from_host(0x01020304);
  key.vip = Be32::from_host(0xc000020a);
  key.proto = 6;
  const lb_hash_key secret{11, 22};
  auto slot = [&](Scheduler scheduler) {
    spec.spec().services[0].scheduler = scheduler;
    auto built = spec.build();
    const Service& of = built->services()[0];
    return slot_of_flow(of, *of.table, key, flow_hash(key, secret), secret);
  };
  auto expected = [](std::uint64_t hash) {
    return lb_hash_slot(hash, 99, test::SlotTable::kSlots);
  };
  EXPECT_EQ(slot(Scheduler::Mh), expected(flow_hash(key, secret)));
  EXPECT_EQ(slot(Scheduler::Sh), expected(client_hash(key, secret)));
  EXPECT_EQ(slot(Scheduler::Dh), expected(vip_hash(key, secret)));
  EXPECT_EQ(slot(Scheduler::Wrr), expected(flow_hash(key, secret)));
}

}  // namespace
}  // namespace lb
