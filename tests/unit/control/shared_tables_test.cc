// SPDX-License-Identifier: Apache-2.0
// Services that share a table: when they do, when they part and meet again, and (by a model: each
// service alone, in a keeper of its own) that sharing changes nothing of what a service does.
#include "control/shared_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "control/table_keeper.h"
#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

constexpr std::uint32_t kSlots = 251;
constexpr std::uint32_t kWindow = 60;
constexpr lb_hash_key kFlowKey{5, 6};

/// Some services with the same real servers, each with its own view of them.
class Services {
 public:
  explicit Services(std::size_t count) : ports_(1), all_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      all_[i].service.address = service_addr("192.0.2.10:" + std::to_string(1000 + i) + "/tcp");
      all_[i].service.scheduler = Scheduler::Mh;
      all_[i].service.hash_key = 77 + i;
      for (int last : {21, 22, 23}) add(i, last);
    }
  }
  void add(std::size_t i, int last) { all_[i].servers[last] = real_server(i, last); }
  /// Gives the service a sorry server, or takes it away.
  void toggle_sorry(std::size_t i) {
    auto& sorry = all_[i].sorry;
    sorry ? sorry.reset() : static_cast<void>(sorry = real_server(i, 99));
  }
  RealServer real_server(std::size_t i, int last) {
    RealServer rs;
    rs.id = make_rs_id(static_cast<std::uint32_t>(i * 100) + static_cast<std::uint32_t>(last),
                       ++incarnation_);
    rs.address = ip("10.0.0." + std::to_string(last));
    rs.mac = MacAddr{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(last)}};
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    return rs;
  }
  std::map<int, RealServer>& servers(std::size_t i) { return all_[i].servers; }
  Service& service(std::size_t i) { return all_[i].service; }
  [[nodiscard]] std::size_t count() const { return all_.size(); }

  void give(TableKeeper& keeper, std::size_t i) {
    std::vector<RealServer> list;
    for (const auto& [last, rs] : all_[i].servers) list.push_back(rs);
    Service& service = all_[i].service;
    const auto& sorry = all_[i].sorry;
    service.id = make_service_id(static_cast<std::uint32_t>(i), 1);
    const Status given = keeper.give_table({.service = service,
                                            .real_servers = list,
                                            .sorry = sorry ? &*sorry : nullptr,
                                            .ports = ports_,
                                            .mh_slots = kSlots,
                                            .window_s = kWindow});
    ASSERT_TRUE(given) << given.error().message;
  }
  /// A generation of all of them; not yet committed.
  void build(TableKeeper& keeper, std::uint32_t now_s) {
    keeper.begin(now_s);
    for (std::size_t i = 0; i < count(); ++i) give(keeper, i);
  }
  [[nodiscard]] std::size_t tables() const {
    std::set<const TableObject*> seen;
    for (const One& one : all_) seen.insert(one.service.table.get());
    return seen.size();
  }

 private:
  struct One {
    Service service;
    std::map<int, RealServer> servers;
    std::optional<RealServer> sorry;
  };
  std::vector<EgressPort> ports_;
  std::vector<One> all_;
  std::uint16_t incarnation_ = 0;
};

class SharedTablesTest : public testing::Test {
 protected:
  void publish(std::uint32_t now_s) {
    services.build(keeper, now_s);
    keeper.commit();
  }
  HeapTableMemory memory;
  TableKeeper keeper{memory, {1, 2}};
  Services services{4};
};

TEST_F(SharedTablesTest, TheSameRealServersTheSameTable) {
  publish(100);
  EXPECT_EQ(services.tables(), 1U);
  for (std::size_t i = 0; i < services.count(); ++i) {
    const auto& servers = services.servers(i);
    EXPECT_EQ(services.service(i).members,
              (std::vector{servers.at(21).id, servers.at(22).id, servers.at(23).id}))
        << "each has its own";
  }
  services.servers(2)[22].weight = 2;
  services.servers(3)[22].has_mac = false;
  publish(200);
  EXPECT_EQ(services.tables(), 3U);
}

TEST_F(SharedTablesTest, WhatChangesTogetherStaysTogether) {
  publish(100);
  for (std::size_t i = 0; i < 3; ++i) services.servers(i)[21].up = false;
  publish(200);
  EXPECT_EQ(services.tables(), 2U);
  EXPECT_EQ(services.service(0).table, services.service(2).table);
  EXPECT_EQ(services.service(3).table->head().open_slots, 0U);
}

TEST_F(SharedTablesTest, WhatChangesInTheSameSecondMeetsAgainAtOnce) {
  publish(100);
  for (std::size_t i = 0; i < services.count(); ++i) {
    services.servers(i)[21].weight = 0;
    publish(200);
    EXPECT_EQ(services.tables(), i + 1 < services.count() ? 2U : 1U);
  }
  EXPECT_GT(services.service(0).table->head().open_slots, 0U);
}

TEST_F(SharedTablesTest, WhatHasPartedMeetsAgainWhenItIsSteady) {
  publish(100);
  for (std::uint32_t i = 0; i < services.count(); ++i) {
    services.servers(i)[21].up = false;
    publish(200 + i);
  }
  EXPECT_EQ(services.tables(), 4U) << "their deadlines differ";
  publish(200 + kWindow);
  for (std::uint32_t now = 201; now < 204; ++now) publish(now + kWindow);
  for (int walk = 0; walk < 2; ++walk) std::ignore = keeper.take(keeper.scan(kFlowKey));
  publish(400);
  EXPECT_FALSE(keeper.has_exceptions());
  EXPECT_EQ(services.tables(), 1U);
}

TEST_F(SharedTablesTest, ExceptionsStayAsLongAsAFlowOfAnyOfThemDisagrees) {
  publish(100);
  for (std::size_t i = 0; i < services.count(); ++i) services.servers(i)[21].weight = 0;
  publish(200);
  publish(200 + kWindow);
  const auto table = services.service(0).table;
  ASSERT_EQ(services.tables(), 1U);
  ASSERT_GT(table->head().exception_slots, 1U);
  FlowInfo flow;  // of the last service, in a slot with exceptions
  const Service& last = services.service(3);
  flow.client = ip("198.51.100.7");
  flow.vip = last.address.vip;
  flow.vip_port = last.address.port_first;
  flow.data = {.rs = services.servers(3)[21].id, .service = last.id};
  std::uint32_t slot = 0;
  do {
    ++flow.client_port;
    slot = lb_hash_slot(hash_of(flow, SlotHash::Flow, kFlowKey), last.hash_key, kSlots);
  } while ((table->hot(slot) & LB_SLOT_ASK) == 0);
  for (int walk = 0; walk < 2; ++walk) {
    ExceptionScan scan = keeper.scan(kFlowKey);
    scan.see(flow);
    EXPECT_EQ(keeper.take(scan), walk == 1);
  }
  publish(400);
  EXPECT_EQ(services.tables(), 1U);
  EXPECT_EQ(services.service(0).table->head().exception_slots, 1U);
  EXPECT_NE(services.service(0).table->hot(slot) & LB_SLOT_ASK, 0);
}

TEST_F(SharedTablesTest, AWalkThatDidNotAskAllOfThemCountsForNothing) {
  publish(100);
  for (std::size_t i = 0; i < services.count(); ++i) services.servers(i)[21].weight = 0;
  publish(200);
  publish(200 + kWindow);
  const Service& one = services.service(0);
  ASSERT_GT(one.table->head().exception_slots, 0U);
  for (int walk = 0; walk < 3; ++walk) {
    ExceptionScan scan(kFlowKey);
    scan.add(one.id, SlotHash::Flow, one.hash_key, one.table, one.members);
    EXPECT_FALSE(keeper.take(scan));
  }
  EXPECT_FALSE(keeper.take(keeper.scan(kFlowKey)));
  EXPECT_TRUE(keeper.take(keeper.scan(kFlowKey)));
}

TEST_F(SharedTablesTest, ItDoesNotMatterInWhichOrderRealServersCame) {
  publish(100);
  for (std::size_t i = 0; i < services.count(); ++i) {
    for (int last : i % 2 == 0 ? std::vector{5, 30} : std::vector{30, 5}) {
      services.add(i, last);
      publish(200);
    }
  }
  EXPECT_EQ(services.service(0).table->name(3).addr[3], 5) << "indices stay while a slot is open";
  EXPECT_EQ(services.service(1).table->name(3).addr[3], 30);
  EXPECT_EQ(services.tables(), 2U);
  publish(200 + kWindow);
  for (int walk = 0; walk < 2; ++walk) std::ignore = keeper.take(keeper.scan(kFlowKey));
  publish(400);
  EXPECT_EQ(services.tables(), 1U);
  EXPECT_EQ(services.service(1).table->name(0).addr[3], 5) << "in order";
  EXPECT_EQ(services.service(1).members.at(0), services.servers(1).at(5).id);
}

TEST_F(SharedTablesTest, ARefusedBuildIsDoubtfulForAllOfThem) {
  publish(100);
  for (std::size_t i = 0; i < services.count(); ++i) services.servers(i)[21].weight = 0;
  services.build(keeper, 200);
  for (std::size_t i = 0; i < services.count(); ++i) services.servers(i)[21].weight = 1;
  publish(201);
  EXPECT_EQ(services.tables(), 1U);
  EXPECT_GT(services.service(0).table->head().exception_slots, 0U)
      << "workers may have followed the one that was refused";
}

/// What a service's slots say; exceptions aside, of which a shared table may have more.
void expect_same(const TableObject& shared, const TableObject& alone) {
  const SlotPlan a = SlotPlan::read(shared).value(), b = SlotPlan::read(alone).value();
  ASSERT_EQ(a.slots(), b.slots());
  for (std::uint32_t i = 0; i < a.slots(); ++i) {
    const SlotPlan::Slot x = a.slot(i), y = b.slot(i);
    const auto address = [](const TableObject& table, std::uint16_t member) {
      return member == LB_SLOT_NOBODY ? 0 : table.name(member).addr[3];
    };
    ASSERT_EQ(address(shared, x.owner), address(alone, y.owner));
    ASSERT_EQ(x.open, y.open);
    if (x.open) {
      ASSERT_EQ(address(shared, x.old), address(alone, y.old));
      ASSERT_EQ(x.deadline_s, y.deadline_s);
    }
    ASSERT_TRUE(x.exceptions || !y.exceptions);
  }
}

/// Whether a sorry server owns the first slot.
bool is_sorry(const TableObject& table) {
  const std::uint16_t owner = table.hot(0) & LB_SLOT_OWNER;
  return owner != LB_SLOT_NOBODY && table.name(owner).sorry != 0;
}

TEST(SharedTablesModel, SharingChangesNothingForAService) {
  constexpr std::size_t kCount = 6;
  std::mt19937 random(7);
  HeapTableMemory memory;
  TableKeeper together(memory, {1, 2});
  Services services(kCount), lonely(kCount);
  std::vector<std::unique_ptr<TableKeeper>> alone;
  for (std::size_t i = 0; i < kCount; ++i) {
    alone.push_back(std::make_unique<TableKeeper>(memory, lb_hash_key{1, 2}));
  }
  std::size_t shared = 0, refused = 0, sorry = 0;
  std::uint32_t now = 100;
  for (int round = 0; round < 1500; ++round) {
    now += random() % 8 == 0 ? random() % (2 * kWindow) : random() % 3;
    const bool all = random() % 8 != 0;
    const std::size_t one = random() % kCount;
    const int last = static_cast<int>(20 + random() % 6);
    const auto kind = random() % 7;
    const bool all_down = random() % 12 == 0;
    const bool refuse = random() % 6 == 0;
    refused += refuse;
    const bool alike = random() % 30 == 0;  // all have the same again, if not the same past
    for (Services* world : {&services, &lonely}) {
      for (std::size_t i = 0; alike && i < kCount; ++i) {
        world->servers(i).clear();
        for (int rs : {21, 22, 24}) world->add(i, rs);
      }
      for (std::size_t i = 0; i < kCount; ++i) {
        if (alike || (!all && i != one)) continue;
        auto& servers = world->servers(i);
        if (all_down) {
          for (auto& [_, rs] : servers) rs.up = false;
        } else if (kind == 6) {
          world->toggle_sorry(i);
        } else if (!servers.contains(last)) {
          if (servers.size() < 5 && kind < 3) world->add(i, last);
        } else if (kind == 0 && servers.size() > 1) {
          servers.erase(last);
        } else if (kind == 1) {
          servers[last].up = !servers[last].up;
        } else if (kind == 2) {
          servers[last].weight = servers[last].weight == 0 ? 1 : 0;
        } else if (kind == 3) {
          servers[last].mac.bytes[1] ^= 1;
        }
      }
    }
    if (random() % 4 == 0) {
      std::ignore = together.take(together.scan(kFlowKey));
      for (auto& keeper : alone) std::ignore = keeper->take(keeper->scan(kFlowKey));
    }
    services.build(together, now);
    for (std::size_t i = 0; i < kCount; ++i) {
      alone[i]->begin(now);
      lonely.give(*alone[i], i);
    }
    if (refuse) continue;
    together.commit();
    for (auto& keeper : alone) keeper->commit();
    for (std::size_t i = 0; i < kCount; ++i) {
      SCOPED_TRACE(testing::Message() << "round " << round << ", service " << i);
      ASSERT_NO_FATAL_FAILURE(expect_same(*services.service(i).table, *lonely.service(i).table));
    }
    shared += services.tables() < kCount;
    sorry += is_sorry(*services.service(0).table);
  }
  EXPECT_GT(shared, 300U);
  EXPECT_GT(refused, 100U);
  EXPECT_GT(sorry, 50U) << "rounds in which a sorry server had the first slot";
}

}  // namespace
}  // namespace lb
