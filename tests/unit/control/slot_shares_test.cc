// SPDX-License-Identifier: Apache-2.0
// SlotShares over tables made by hand, the answer that is made of them, and SlotTables.
#include "control/slot_shares.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "control/json_view.h"
#include "tests/unit/control/control_fixture.h"
#include "tests/unit/dataplane/table_fixture.h"

namespace lb {
namespace {

constexpr std::uint32_t kNow = 5'000;  // CLOCK_BOOTTIME

/// A table of `slots` slots that nobody owns, with room for 8 members.
class TableMaker {
 public:
  explicit TableMaker(std::uint32_t slots) : table_(HeapTableMemory().make(slots, 8).value()) {
    table_->head().slots = slots;
    for (std::uint32_t i = 0; i < slots; ++i) table_->hot_slots()[i] = LB_SLOT_NOBODY;
  }
  void member(std::uint32_t index, const IpAddr& address, std::uint32_t weight,
              std::uint16_t flags = LB_RS_UP, bool sorry = false) {
    lb_rs_name& name = table_->names()[index];
    std::copy_n(address.data(), 16, name.addr);
    name.family = static_cast<std::uint8_t>(address.family());
    name.weight = weight;
    name.sorry = sorry ? 1 : 0;
    table_->members()[index].place = index + 1;
    table_->members()[index].flags = flags;
    table_->head().members = std::max(table_->head().members, index + 1);
  }
  void own(std::uint32_t first, std::uint32_t count, std::uint32_t owner) {
    for (std::uint32_t i = 0; i < count; ++i) {
      table_->hot_slots()[first + i] = static_cast<std::uint16_t>(owner);
    }
  }
  void ask(std::uint32_t slot, std::uint32_t old, std::uint32_t flags, std::uint32_t deadline = 0) {
    table_->hot_slots()[slot] |= LB_SLOT_ASK;
    table_->slot_states()[slot] = old | flags | deadline << LB_STATE_DEADLINE_SHIFT;
  }
  [[nodiscard]] TableObject& table() const { return *table_; }
  [[nodiscard]] std::shared_ptr<const TableObject> shared() const { return table_; }

 private:
  std::shared_ptr<TableObject> table_;
};

TEST(SlotShares, EachRealServersSlotsStandAgainstItsWeight) {
  TableMaker maker(100);
  maker.member(0, kRs2, 1);
  maker.member(2, kRs1, 3);  // index 1 is free
  maker.own(0, 26, 0);
  maker.own(26, 74, 2);
  auto shares = slot_shares(maker.table(), kNow);
  ASSERT_EQ(shares.members.size(), 2U);
  EXPECT_EQ(shares.members[0].address, kRs1) << "by address, not by index";
  EXPECT_EQ(shares.members[0].slots, 74U);
  EXPECT_DOUBLE_EQ(shares.members[0].percent, 74);
  EXPECT_DOUBLE_EQ(shares.members[0].percent_wanted, 75);
  EXPECT_EQ(shares.members[1].slots, 26U);
  EXPECT_DOUBLE_EQ(shares.members[1].percent_wanted, 25);
  EXPECT_EQ(shares.slots, 100U);
  EXPECT_EQ(shares.open + shares.exceptions + shares.unowned, 0U);
  EXPECT_FALSE(shares.first_s);
}

TEST(SlotShares, OpenSlotsAreGainedByOneAndLeaveTheOther) {
  TableMaker maker(10);
  maker.member(0, kRs1, 1);
  maker.member(1, kRs2, 1, LB_RS_UP | LB_RS_DRAINS);
  maker.own(0, 10, 0);
  maker.table().head().deadline_s[3] = kNow + 60;
  maker.table().head().deadline_s[63] = kNow + 900;
  maker.ask(0, 1, LB_STATE_OPEN, 3);
  maker.ask(1, 1, LB_STATE_OPEN | LB_STATE_EXCEPTIONS, 63);
  maker.ask(2, 0, LB_STATE_OPEN, 3);  // back to who had it
  maker.ask(3, LB_SLOT_NOBODY, LB_STATE_EXCEPTIONS);
  auto shares = slot_shares(maker.table(), kNow);
  EXPECT_EQ(shares.open, 3U);
  EXPECT_EQ(shares.exceptions, 2U);
  EXPECT_EQ(shares.first_s, 60U);
  EXPECT_EQ(shares.last_s, 900U);
  const SlotShare& stays = shares.members[0];
  EXPECT_EQ(stays.slots, 10U);
  EXPECT_EQ(stays.gained, 2U);
  EXPECT_EQ(stays.leaving, 0U);
  EXPECT_EQ(stays.exceptions, 2U);
  EXPECT_DOUBLE_EQ(stays.percent_wanted, 100);
  const SlotShare& drains = shares.members[1];
  EXPECT_TRUE(drains.drains);
  EXPECT_EQ(drains.slots, 0U);
  EXPECT_EQ(drains.leaving, 2U);
  EXPECT_DOUBLE_EQ(drains.percent_wanted, 0);
  EXPECT_EQ(slot_shares(maker.table(), kNow + 100).first_s, 0U) << "past its deadline";
}

TEST(SlotShares, ASlotThatNobodyOwnedLeavesNobody) {
  TableMaker maker(2);
  maker.member(0, kRs1, 1);
  maker.own(0, 1, 0);
  maker.ask(0, LB_SLOT_NOBODY, LB_STATE_OPEN);
  auto shares = slot_shares(maker.table(), kNow);
  EXPECT_EQ(shares.members[0].gained, 1U);
  EXPECT_EQ(shares.unowned, 1U);
}

TEST(SlotShares, TheSorryServerIsWantedWhenNobodyElseTakesFlows) {
  TableMaker maker(4);
  maker.member(0, ip("192.0.2.1"), 1, LB_RS_UP, true);
  maker.member(1, kRs1, 1, 0);
  maker.member(2, kRs2, 0);
  maker.own(0, 4, 0);
  auto shares = slot_shares(maker.table(), kNow);
  ASSERT_EQ(shares.members.size(), 3U);
  EXPECT_TRUE(shares.members[2].sorry) << "last";
  EXPECT_DOUBLE_EQ(shares.members[2].percent_wanted, 100);
  EXPECT_FALSE(shares.members[0].up);
  EXPECT_DOUBLE_EQ(shares.members[0].percent_wanted + shares.members[1].percent_wanted, 0);
}

TEST(SlotShares, NoIndexOfTheTableIsTrusted) {
  TableMaker maker(4);
  maker.member(0, ip("2001:db8::5"), 0xffffffff);
  maker.own(0, 4, 5);                   // no such member
  maker.ask(1, 0xffff, LB_STATE_OPEN);  // nor such an old one
  maker.table().head().slots = 1U << 30;
  maker.table().head().members = 1U << 30;
  auto shares = slot_shares(maker.table(), kNow);
  EXPECT_EQ(shares.slots, maker.table().room().slots);
  ASSERT_EQ(shares.members.size(), 1U);
  EXPECT_EQ(shares.members[0].address, ip("2001:db8::5"));
  EXPECT_EQ(shares.open, 1U);
  auto empty = HeapTableMemory().make(0, 0).value();
  EXPECT_TRUE(slot_shares(*empty, kNow).members.empty());
}

TEST(SlotsJson, HasAllOfTheDocument) {
  TableMaker maker(3);
  maker.member(0, kRs1, 1);
  maker.own(0, 1, 0);
  maker.table().head().deadline_s[0] = kNow + 5;
  maker.ask(0, LB_SLOT_NOBODY, LB_STATE_OPEN);
  ServiceSettings settings;
  settings.scheduler = Scheduler::Mh;
  auto answer = boost::json::parse(slots_json(kWeb, settings, &maker.table(), kNow)).as_object();
  for (const char* key :
       {"service", "scheduler", "hashed", "slots", "open_slots", "exception_slots", "unowned_slots",
        "window_s", "next_deadline_s", "last_deadline_s", "real_servers"}) {
    EXPECT_TRUE(answer.contains(key)) << key;
  }
  EXPECT_TRUE(answer.at("hashed").as_bool());
  EXPECT_EQ(answer.at("next_deadline_s").to_number<int>(), 5);
  const auto rs = answer.at("real_servers").at(0).as_object();
  for (const char* key : {"address", "sorry", "up", "draining", "weight", "slots", "percent",
                          "percent_wanted", "gained_slots", "leaving_slots", "exception_slots"}) {
    EXPECT_TRUE(rs.contains(key)) << key;
  }
  EXPECT_DOUBLE_EQ(rs.at("percent").to_number<double>(), 33.33);
  EXPECT_DOUBLE_EQ(rs.at("percent_wanted").to_number<double>(), 100);
}

TEST(SlotTables, FindTheTableOfAServiceByItsWholeId) {
  TableMaker maker(1);
  SpecBuilder builder;
  builder.service("192.0.2.10:80/tcp", Scheduler::Wrr).table = maker.shared();
  builder.rs("192.0.2.21");
  const ServiceId with = builder.spec.services[0].id;
  const ServiceId without = builder.service("192.0.2.10:81/tcp").id;
  auto published = builder.build();
  ASSERT_TRUE(published);
  SlotTables tables(*published);
  published.reset();
  EXPECT_EQ(tables.find(with), maker.shared()) << "it outlives the generation";
  EXPECT_EQ(tables.find(without), nullptr);
  EXPECT_EQ(tables.find(make_service_id(slot_of(with), 2)), nullptr) << "another incarnation";
  EXPECT_EQ(tables.find(make_service_id(500, 1)), nullptr);
  EXPECT_EQ(SlotTables().find(with), nullptr);
}

}  // namespace
}  // namespace lb
