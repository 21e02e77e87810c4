// SPDX-License-Identifier: Apache-2.0
// TableKeeper: one service over its generations: indices, transitions, what a refused publication
// leaves behind, what is adopted.
#include "control/table_keeper.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

constexpr std::uint32_t kSlots = 251;
constexpr std::uint32_t kWindow = 900;
using Table = std::shared_ptr<const TableObject>;

/// A memory that can be out of it.
class Memory final : public TableMemory {
 public:
  Result<std::shared_ptr<TableObject>> make(std::uint32_t slots, std::uint32_t members) override {
    if (empty) return fail(ENOMEM, "no memory");
    return heap.make(slots, members);
  }
  HeapTableMemory heap;
  bool empty = false;
};

class TableKeeperTest : public testing::Test {
 protected:
  TableKeeperTest() : ports_(2) {
    service_.id = make_service_id(3, 1);
    service_.address = kWeb;
    service_.scheduler = Scheduler::Mh;
    service_.hash_key = 77;
    for (int i = 0; i < 2; ++i) {
      ports_[i] = {.mac = MacAddr{{2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}}, .mtu = 1400};
    }
    for (int last : {21, 22, 23}) add(last);
  }
  static IpAddr address(int last) { return ip("10.0.0." + std::to_string(last)); }
  RealServer& add(int last) {
    RealServer& rs = servers_[last];
    rs.id = make_rs_id(static_cast<std::uint32_t>(last), ++incarnation_);
    rs.address = address(last);
    rs.mac = MacAddr{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(last)}};
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    return rs;
  }
  Result<Table> try_build(TableKeeper& keeper) {
    std::vector<RealServer> list;
    for (const auto& [last, rs] : servers_) list.push_back(rs);
    LB_TRY(keeper.give_table({.service = service_,
                              .real_servers = list,
                              .sorry = sorry_ ? &*sorry_ : nullptr,
                              .ports = ports_,
                              .mh_slots = mh_slots_,
                              .window_s = kWindow,
                              .starting = starting_}));
    return service_.table;
  }
  /// A build that nobody publishes.
  Table build(std::uint32_t now_s) {
    keeper_.begin(now_s);
    return try_build(keeper_).value();
  }
  Table publish(std::uint32_t now_s) {
    Table table = build(now_s);
    keeper_.commit();
    return table;
  }
  static SlotPlan plan(const Table& table) { return SlotPlan::read(*table).value(); }
  static int index_of(const Table& table, int last) {
    for (std::uint32_t i = 0; i < table->head().members; ++i) {
      if (table->member(i).place != 0 && table->name(i).addr[3] == last) return static_cast<int>(i);
    }
    return -1;
  }
  static std::set<int> owners(const Table& table) {
    std::set<int> seen;
    const SlotPlan now = plan(table);
    for (std::uint32_t i = 0; i < now.slots(); ++i) seen.insert(now.slot(i).owner);
    return seen;
  }
  /// Some flow to `rs` whose slot is `slot`.
  FlowInfo flow(std::uint32_t slot, RsId rs) const {
    FlowInfo info;
    info.client = ip("198.51.100.7");
    info.vip = kWeb.vip;
    info.vip_port = 80;
    info.data = {.rs = rs, .service = service_.id};
    while (slot_of_flow(info) != slot) ++info.client_port;
    return info;
  }
  std::uint32_t slot_of_flow(const FlowInfo& info) const {
    const auto hash = hash_of(info, slot_hash_of(service_.scheduler), kFlowKey);
    return lb_hash_slot(hash, service_.hash_key, kSlots);
  }
  /// A walk that sees these flows; what take() says.
  bool walk(const std::vector<FlowInfo>& flows) {
    ExceptionScan scan = keeper_.scan(kFlowKey);
    for (const FlowInfo& one : flows) scan.see(one);
    return keeper_.take(scan);
  }

  static constexpr lb_hash_key kFlowKey{5, 6};
  Service service_;
  std::map<int, RealServer> servers_;
  std::optional<RealServer> sorry_;
  std::vector<EgressPort> ports_;
  std::uint32_t mh_slots_ = kSlots;
  bool starting_ = false;
  std::uint16_t incarnation_ = 0;
  Memory memory_;
  TableKeeper keeper_{memory_, {1, 2}};
};

TEST_F(TableKeeperTest, TellsAllThatIsWrittenIntoAPacket) {
  servers_[21].vlan = 7;
  servers_[21].egress = PortIndex{1};
  servers_[22].weight = 0;
  servers_[22].has_mac = false;
  servers_[23].up = false;
  ports_[0].up = false;
  ports_[1].mtu = 70'000;
  const Table table = publish(100);
  ASSERT_EQ(table->head().members, 3U);
  EXPECT_EQ(table->head().window_s, kWindow);
  const lb_rs_entry& first = table->member(0);
  EXPECT_EQ(first.place, 1U);
  EXPECT_EQ(service_.members, (std::vector{servers_[21].id, servers_[22].id, servers_[23].id}));
  EXPECT_EQ(first.flags, LB_RS_UP | LB_RS_HAS_MAC | LB_RS_EGRESS_UP);
  EXPECT_TRUE(std::ranges::equal(std::span(first.macs, 6), servers_[21].mac.bytes));
  EXPECT_TRUE(std::ranges::equal(std::span(first.macs + 6, 6), ports_[1].mac.bytes));
  EXPECT_EQ(first.vlan, 7);
  EXPECT_EQ(first.egress, 1);
  EXPECT_EQ(first.mtu, 65'535) << "more than an IP packet can have";
  EXPECT_EQ(table->member(1).flags, LB_RS_UP | LB_RS_DRAINS);
  EXPECT_EQ(table->member(1).macs[5], 0);
  EXPECT_EQ(table->member(1).mtu, 1'400);
  EXPECT_EQ(table->member(2).flags, LB_RS_HAS_MAC);
  EXPECT_EQ(table->name(2).addr[3], 23);
  EXPECT_EQ(table->name(2).family, 4);
  EXPECT_EQ(table->name(2).weight, 1U);
  EXPECT_EQ(owners(table), (std::set<int>{0})) << "the only one that takes new flows";
}

TEST_F(TableKeeperTest, IsTheSameTableWhileNothingChanges) {
  const Table first = publish(100);
  EXPECT_EQ(plan(first).open_slots(), 0U);
  EXPECT_EQ(publish(200), first);
  EXPECT_FALSE(keeper_.next_deadline_s());
  Table last = first;
  auto is_new = [&] {
    const Table next = publish(300);
    const bool other = next != last && plan(next) == plan(last);
    last = next;
    return other;
  };
  servers_[22].mac.bytes[5] = 99;
  EXPECT_TRUE(is_new()) << "and no slot has opened";
  servers_[22].egress = PortIndex{1};
  EXPECT_TRUE(is_new());
  ports_[1].mac.bytes[5] = 99;
  EXPECT_TRUE(is_new());
  ports_[1].mtu = 9'000;
  EXPECT_TRUE(is_new());
  ports_[1].up = false;
  EXPECT_TRUE(is_new());
  servers_[22].vlan = 3;
  EXPECT_TRUE(is_new());
  servers_[22].id = make_rs_id(22, 99);
  EXPECT_FALSE(is_new()) << "who its members are, the service says";
  EXPECT_EQ(service_.members[1], make_rs_id(22, 99));
}

TEST_F(TableKeeperTest, AChangeOpensSlotsUntilTheirDeadline) {
  const Table before = publish(100);
  servers_[21].weight = 0;
  const Table open = publish(200);
  const SlotPlan changed = plan(open);
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    const SlotPlan::Slot was = plan(before).slot(i);
    const SlotPlan::Slot is = changed.slot(i);
    if (was.owner == is.owner) {
      ASSERT_EQ(is, was);
    } else {
      ASSERT_EQ(is, (SlotPlan::Slot{is.owner, was.owner, true, false, 200 + kWindow}));
    }
  }
  EXPECT_EQ(keeper_.next_deadline_s(), 200 + kWindow);
  EXPECT_TRUE(keeper_.is_old(kWeb, servers_[21].id));
  EXPECT_FALSE(keeper_.is_old(kWeb, make_rs_id(21, 999))) << "another one of this address";
  EXPECT_FALSE(keeper_.is_old(service_addr("192.0.2.1:1/tcp"), servers_[21].id));
  EXPECT_EQ(publish(200 + kWindow - 1), open);
  const Table closed = publish(200 + kWindow);
  EXPECT_EQ(plan(closed).open_slots(), 0U);
  EXPECT_EQ(plan(closed).exception_slots(), changed.open_slots());
  EXPECT_FALSE(keeper_.next_deadline_s());
  EXPECT_FALSE(keeper_.is_old(kWeb, servers_[21].id));
  EXPECT_TRUE(keeper_.has_exceptions());
}

TEST_F(TableKeeperTest, TheFirstChecksOpenNothing) {
  starting_ = true;
  servers_[22].up = servers_[23].up = false;
  publish(100);
  servers_[22].up = true;
  EXPECT_EQ(plan(publish(101)).open_slots(), 0U);
  starting_ = false;
  servers_[23].up = true;
  EXPECT_EQ(plan(publish(102)).open_slots(), 0U) << "the last check ends the start";
  servers_[23].weight = 9;
  EXPECT_GT(plan(publish(103)).open_slots(), 0U);
  starting_ = true;
  servers_[22].weight = 9;
  EXPECT_GT(plan(publish(104)).open_slots(), 0U) << "a service starts once";
}

TEST_F(TableKeeperTest, AnRsThatIsDownOrGoneOpensNothing) {
  const SlotPlan before = plan(publish(100));
  servers_[21].up = false;
  const SlotPlan down = plan(publish(200));
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    const SlotPlan::Slot was = before.slot(i);
    const bool moved = was.owner != down.slot(i).owner;
    EXPECT_TRUE(was.owner != 0 || moved);
    ASSERT_EQ(down.slot(i).open, moved && was.owner != 0) << "Maglev moves a few others as well";
  }
  servers_.erase(22);
  const SlotPlan one = plan(publish(300));
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    ASSERT_EQ(one.slot(i).owner, 2);
    ASSERT_NE(one.slot(i).old, 1);
  }
}

TEST_F(TableKeeperTest, WhileASlotIsOpenAnRsKeepsItsIndexAndAFreeOneIsGivenAnewLater) {
  publish(100);
  servers_[22].weight = 3;
  ASSERT_GT(publish(150)->head().open_slots, 0U);
  servers_.erase(21);
  add(5);
  const Table both = publish(200);
  EXPECT_EQ(index_of(both, 5), 3) << "index 0 has just become free: slots may name its owner";
  EXPECT_EQ(index_of(both, 22), 1);
  EXPECT_EQ(index_of(both, 23), 2);
  EXPECT_EQ(both->member(0).place, 0U);
  add(6);
  add(7);
  const Table later = publish(300);
  EXPECT_EQ(index_of(later, 6), 0);
  EXPECT_EQ(index_of(later, 7), 4);
  EXPECT_EQ(index_of(later, 5), 3);
  servers_.erase(7);
  servers_.erase(5);
  EXPECT_EQ(publish(400)->head().members, 3U) << "it ends with the last one";
}

TEST_F(TableKeeperTest, TheSorryServerOwnsAllWhenNobodyTakesFlows) {
  RealServer sorry = add(99);
  servers_.erase(99);
  sorry_ = sorry;
  const Table before = publish(100);
  EXPECT_EQ(owners(before), (std::set<int>{0, 1, 2}));
  EXPECT_EQ(before->name(3).sorry, 1);
  for (auto& [last, rs] : servers_) rs.up = false;
  const Table all = publish(200);
  EXPECT_EQ(owners(all), (std::set<int>{3}));
  EXPECT_EQ(plan(all).open_slots(), 0U) << "whom they had is down";
  servers_[22].up = true;
  const Table back = publish(300);
  EXPECT_EQ(owners(back), (std::set<int>{1}));
  EXPECT_EQ(plan(back).slot(0), (SlotPlan::Slot{1, 3, true, false, 300 + kWindow}))
      << "its flows stay with the sorry server";
  sorry_.reset();
  EXPECT_EQ(plan(publish(400)).open_slots(), 0U) << "it is gone";
  servers_[22].up = false;
  EXPECT_EQ(owners(publish(500)), (std::set<int>{LB_SLOT_NOBODY}));
}

TEST_F(TableKeeperTest, TheLastRsThatDrainsKeepsItsFlows) {
  publish(100);
  servers_.erase(22);
  servers_.erase(23);
  publish(200);
  servers_[21].weight = 0;
  const Table table = publish(300);
  EXPECT_EQ(plan(table).slot(0), (SlotPlan::Slot{LB_SLOT_NOBODY, 0, true, false, 300 + kWindow}));
  servers_.clear();
  EXPECT_EQ(publish(400), nullptr) << "no member, no table";
  EXPECT_FALSE(keeper_.next_deadline_s());
  add(21);
  EXPECT_EQ(plan(publish(500)).open_slots(), 0U);
}

TEST_F(TableKeeperTest, EqualServicesHaveEqualArrays) {
  keeper_.begin(100);
  const Table one = try_build(keeper_).value();
  service_.address = service_addr("192.0.2.77:443/tcp");
  service_.id = make_service_id(4, 1);
  service_.hash_key = 78;
  const Table two = try_build(keeper_).value();
  EXPECT_EQ(one, two);
  TableKeeper restarted(memory_, {1, 2}), foreign(memory_, {1, 3});
  EXPECT_EQ(plan(try_build(restarted).value()), plan(one));
  EXPECT_NE(plan(try_build(foreign).value()), plan(one));
}

TEST_F(TableKeeperTest, ServicesThatRememberEveryFlowHaveFewSlotsAndNoExceptions) {
  service_.scheduler = Scheduler::Wlc;
  EXPECT_EQ(publish(100)->head().slots, 1'021U);
  servers_[21].weight = 0;
  EXPECT_GT(plan(publish(200)).open_slots(), 0U) << "for the hash pick of a dead lbd";
  EXPECT_FALSE(keeper_.is_old(kWeb, servers_[21].id)) << "all its flows are known";
  const Table closed = publish(200 + kWindow);
  EXPECT_EQ(plan(closed).open_slots(), 0U);
  EXPECT_FALSE(keeper_.has_exceptions());
  for (int last = 100; last < 162; ++last) add(last);
  const Table many = publish(1'300);
  EXPECT_EQ(many->head().members, 65U);
  EXPECT_EQ(many->head().slots, 8'191U);
}

TEST_F(TableKeeperTest, ASchedulerThatBecomesHashedAsksTheFlowMemoryFirst) {
  service_.scheduler = Scheduler::Rr;
  publish(100);
  service_.scheduler = Scheduler::Mh;
  const Table hashed = publish(200);
  ASSERT_EQ(hashed->head().slots, kSlots);
  const SlotPlan now = plan(hashed);
  EXPECT_EQ(now.open_slots() + now.exception_slots(), kSlots);
  // And back: it keeps the slots that unremembered flows go by.
  service_.scheduler = Scheduler::Rr;
  mh_slots_ = 65'537;
  EXPECT_EQ(publish(300)->head().slots, 1'021U) << "more than it had";
  service_.scheduler = Scheduler::Mh;
  publish(400);
  service_.scheduler = Scheduler::Rr;
  EXPECT_EQ(publish(500)->head().slots, 65'537U);
  EXPECT_FALSE(keeper_.has_exceptions());
  service_.scheduler = Scheduler::Sh;
  publish(600);
  service_.scheduler = Scheduler::Dh;
  const SlotPlan moved = plan(publish(2'000));
  EXPECT_EQ(moved.exception_slots(), 65'537U) << "every flow is in another slot";
}

TEST_F(TableKeeperTest, OnlyUdpFlowsThatAreRememberedByTheChangeNeedExceptions) {
  for (Affinity affinity : {Affinity::Transition, Affinity::Always, Affinity::None}) {
    service_.address = service_addr("192.0.2.10:53/udp");
    service_.affinity = affinity;
    servers_[21].weight = 1;
    publish(100);
    servers_[21].weight = 0;
    publish(200);
    EXPECT_EQ(keeper_.is_old(service_.address, servers_[21].id), affinity == Affinity::Transition);
    publish(200 + kWindow);
    EXPECT_EQ(keeper_.has_exceptions(), affinity == Affinity::Transition);
    service_.id = make_service_id(3, ++incarnation_);
  }
}

TEST_F(TableKeeperTest, ARefusedTableLeavesOnlyExceptions) {
  const Table before = publish(100);
  servers_[21].weight = 0;
  const Table refused = build(200);
  EXPECT_FALSE(keeper_.next_deadline_s()) << "nothing of it counts";
  servers_[21].weight = 1;
  const Table back = publish(201);
  EXPECT_EQ(plan(back).open_slots(), 0U);
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    const bool moved = plan(before).slot(i).owner != plan(refused).slot(i).owner;
    ASSERT_EQ(plan(back).slot(i),
              (SlotPlan::Slot{.owner = plan(before).slot(i).owner, .exceptions = moved}));
  }
  EXPECT_EQ(publish(202), back);
}

TEST_F(TableKeeperTest, WhatARefusedChangeTookAwayComesBack) {
  publish(100);
  servers_[21].weight = 0;
  const Table open = publish(200);
  keeper_.begin(300);  // the service is deleted: refused
  EXPECT_EQ(publish(301), open);
  RealServer gone = servers_[22];
  servers_.erase(22);
  build(302);
  servers_[22] = gone;
  const Table back = publish(303);
  EXPECT_EQ(index_of(back, 22), 1);
  EXPECT_EQ(plan(back).open_slots(), plan(open).open_slots());
  keeper_.begin(400);
  keeper_.commit();  // now it is deleted
  EXPECT_FALSE(keeper_.next_deadline_s());
  EXPECT_EQ(plan(publish(500)).open_slots(), 0U);
}

TEST_F(TableKeeperTest, WithoutMemoryNothingChanges) {
  const Table before = publish(100);
  memory_.empty = true;
  EXPECT_EQ(publish(150), before) << "nothing is to be made";
  servers_[21].weight = 0;
  keeper_.begin(200);
  EXPECT_EQ(try_build(keeper_).error().code.value(), ENOMEM);
  memory_.empty = false;
  servers_[21].weight = 1;
  EXPECT_EQ(publish(300), before);
}

TEST_F(TableKeeperTest, RefusesMoreMembersThanASlotCanName) {
  std::vector<RealServer> list(LB_SLOT_NOBODY, servers_[21]);
  for (std::uint32_t i = 0; i < list.size(); ++i) {
    list[i].address = IpAddr::v4(Be32::from_host(0x0a000000 + i));
  }
  keeper_.begin(1);
  auto refused = keeper_.give_table({.service = service_,
                                     .real_servers = list,
                                     .sorry = nullptr,
                                     .ports = ports_,
                                     .mh_slots = 65'537,
                                     .window_s = kWindow});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code.value(), E2BIG);
}

TEST_F(TableKeeperTest, ANewIncarnationOfAServiceStartsAnew) {
  publish(100);
  servers_[21].weight = 0;
  publish(200);
  service_.id = make_service_id(3, 2);
  EXPECT_EQ(plan(publish(300)).open_slots(), 0U);
}

TEST_F(TableKeeperTest, ExceptionsEndAfterTwoWalksWithoutADisagreeingFlow) {
  const Table before = publish(100);
  servers_[21].weight = 0;
  publish(200);
  const Table closed = publish(200 + kWindow);
  std::vector<std::uint32_t> excepted;
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    if (plan(closed).slot(i).exceptions) excepted.push_back(i);
  }
  ASSERT_GT(excepted.size(), 10U);
  const std::uint32_t owner = plan(closed).slot(excepted[1]).owner;
  const RsId own = service_.members.at(owner);
  FlowInfo foreign = flow(excepted[2], servers_[21].id);
  foreign.data.service = make_service_id(9, 1);
  const std::vector<FlowInfo> flows{flow(excepted[0], servers_[21].id),  // drains, but lives
                                    flow(excepted[1], own),              // agrees
                                    foreign, flow(excepted[3], make_rs_id(50, 1))};
  EXPECT_FALSE(walk(flows)) << "a flow that moves may be missed once";
  EXPECT_TRUE(walk(flows));
  const SlotPlan cleared = plan(publish(2'000));
  EXPECT_EQ(cleared.exception_slots(), 1U);
  EXPECT_TRUE(cleared.slot(excepted[0]).exceptions);
  EXPECT_FALSE(walk(flows));
  EXPECT_FALSE(walk(flows)) << "nothing ends";
  EXPECT_FALSE(walk({})) << "the walk before saw it";
  EXPECT_TRUE(walk({}));
  EXPECT_EQ(plan(publish(2'100)).exception_slots(), 0U);
  EXPECT_FALSE(keeper_.has_exceptions());
}

TEST_F(TableKeeperTest, AWalkOverAnotherTableCountsForNothing) {
  publish(100);
  servers_[21].weight = 0;
  publish(200);
  publish(200 + kWindow);
  EXPECT_FALSE(walk({}));
  ExceptionScan second = keeper_.scan(kFlowKey);
  servers_[22].mac.bytes[5] = 1;
  publish(1'200);
  EXPECT_FALSE(keeper_.take(second));
  EXPECT_FALSE(walk({}));
  servers_[23].up = false;  // flows of it do not count any more
  const Table down = publish(1'300);
  const SlotPlan now = plan(down);
  std::uint32_t excepted = 0;
  while (!now.slot(excepted).exceptions) ++excepted;
  const std::vector<FlowInfo> flows{flow(excepted, servers_[23].id)};
  EXPECT_FALSE(walk(flows));
  EXPECT_TRUE(walk(flows));
  EXPECT_EQ(plan(publish(1'400)).exception_slots(), 0U);
}

TEST_F(TableKeeperTest, AnotherLbdGoesOnFromTheTableOfTheLast) {
  publish(100);
  servers_.erase(22);
  add(9);
  publish(200);
  servers_[21].weight = 0;
  const Table last = publish(300);
  TableKeeper next(memory_, {1, 2});
  ASSERT_TRUE(next.adopt(service_));
  EXPECT_EQ(next.next_deadline_s(), keeper_.next_deadline_s());
  next.begin(400);
  const Table same = try_build(next).value();
  next.commit();
  EXPECT_EQ(plan(same), plan(last));
  EXPECT_EQ(index_of(same, 9), 3);
  servers_[23].weight = 0;
  next.begin(500);
  const SlotPlan changed = plan(try_build(next).value());
  EXPECT_GT(changed.open_slots(), plan(last).open_slots());
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    if (plan(last).slot(i).open) {
      ASSERT_EQ(changed.slot(i).old, plan(last).slot(i).old);
    }
  }
}

TEST_F(TableKeeperTest, ATableThatIsNotSoundIsNotAdopted) {
  auto corrupt = memory_.heap.make(kSlots, 2).value();
  service_.table = corrupt;
  EXPECT_FALSE(keeper_.adopt(service_)) << "no slots";
  SlotPlan(std::vector<std::uint16_t>(kSlots, 0)).write(*corrupt);
  EXPECT_FALSE(keeper_.adopt(service_)) << "no members";
  corrupt->head().members = 2;
  corrupt->members()[0].place = 1;
  corrupt->members()[1].place = 2;
  EXPECT_FALSE(keeper_.adopt(service_)) << "two of one address";
  corrupt->names()[1].addr[0] = 9;
  EXPECT_TRUE(keeper_.adopt(service_));
  EXPECT_EQ(plan(publish(100)).open_slots(), 0U) << "none of them is there any more";
}

TEST(SlotWindow, IsNeverUnderTheIdleTimeoutOfItsFlows) {
  auto window = [](const char* address, auto&& change) {
    auto settings = ServiceSettings::defaults(service_addr(address));
    change(settings.timeouts);
    return slot_window_s(service_addr(address), settings);
  };
  auto none = [](Timeouts&) {};
  EXPECT_GE(window("192.0.2.1:80/tcp", none), 900U);
  EXPECT_LE(window("192.0.2.1:80/tcp", none), 905U);
  auto long_one = [](Timeouts& timeouts) { timeouts.established_ms = 7'200'000; };
  EXPECT_GE(window("192.0.2.1:80/tcp", long_one), 7'200U);
  EXPECT_LE(window("192.0.2.1:80/udp", long_one), 905U);
  EXPECT_GE(window("192.0.2.1:80/udp", [](Timeouts& t) { t.udp_ms = 1'000'001; }), 1'001U);
  EXPECT_GE(window("192.0.2.1:80/sctp", [](Timeouts& t) { t.sctp_ms = 1'000'001; }), 1'001U);
}

}  // namespace
}  // namespace lb
