// SPDX-License-Identifier: Apache-2.0
// TableBuilder: what of the registry reaches the packet path. The tables of slots by themselves are
// table_keeper_test.cc's.
#include "control/table_builder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

const MacAddr kMac1 = mac("02:00:00:00:00:21");
const std::array<EgressPort, 2> kPorts{EgressPort{mac("02:00:00:00:00:01"), 1500, true},
                                       EgressPort{mac("02:00:00:00:00:02"), 1500, true}};

class TableBuilderTest : public testing::Test {
 protected:
  TableBuilderTest() : registry_(small_limits()) {
    auto patch = unchecked();
    patch.scheduler = Scheduler::Mh;
    EXPECT_TRUE(registry_.add_service(kWeb, patch));
    for (const IpAddr& rs : {kRs3, kRs1, kRs2}) EXPECT_TRUE(registry_.add_rs(kWeb, rs, {}));
    hops_[NextHopKey{kRs1, 0, ""}] = NextHop{kMac1, PortIndex{1}};
  }
  ServiceTableSpec spec() {
    auto built = builder_.spec(registry_, hops_, kPorts, 1'000).value();
    builder_.published();
    return built;
  }
  static std::vector<std::uint16_t> owners(const TableObject& table) {
    std::vector<std::uint16_t> owners(table.head().slots);
    for (std::uint32_t i = 0; i < owners.size(); ++i) owners[i] = table.hot(i) & LB_SLOT_OWNER;
    return owners;
  }
  /// How many slots of the first service each of its RS owns.
  std::vector<std::size_t> shares(const ServiceTableSpec& spec) {
    std::vector<std::size_t> counts(spec.services[0].rs_count);
    const TableObject& table = *spec.services[0].table;
    for (std::uint16_t owner : owners(table)) {
      for (std::size_t i = 0; owner != LB_SLOT_NOBODY && i < counts.size(); ++i) {
        counts[i] += spec.real_servers[i].id == spec.services[0].members.at(owner);
      }
    }
    return counts;
  }
  Registry registry_;
  NextHops hops_;
  HeapTableMemory memory_;
  TableBuilder builder_{HashKeys{{1, 2}, {3, 4}}, true, memory_};
};

TEST_F(TableBuilderTest, RealServersStandSortedWithTheirNextHops) {
  auto built = spec();
  ASSERT_EQ(built.real_servers.size(), 3U);
  EXPECT_EQ(built.real_servers[0].address, kRs1);
  EXPECT_EQ(built.real_servers[2].address, kRs3);
  EXPECT_TRUE(built.real_servers[0].has_mac);
  EXPECT_EQ(built.real_servers[0].mac, kMac1);
  EXPECT_EQ(built.real_servers[0].egress, PortIndex{1});
  EXPECT_FALSE(built.real_servers[1].has_mac);
  EXPECT_EQ(built.real_servers[1].id, registry_.rs(kWeb, kRs2).value()->id);
}

TEST_F(TableBuilderTest, ServicesSayWhatOfTheirFlowsIsRemembered) {
  EXPECT_EQ(spec().services[0].affinity, Affinity::Transition);
  EXPECT_EQ(spec().services[0].flow_rate, 6400U) << "100000 a second in 64 ms";
  ServicePatch patch;
  patch.affinity = Affinity::Always;
  patch.flow_rate = 0;
  ASSERT_TRUE(registry_.set_service(kWeb, patch));
  EXPECT_EQ(spec().services[0].affinity, Affinity::Always);
  EXPECT_EQ(spec().services[0].flow_rate, 0U) << "no limit";
}

TEST_F(TableBuilderTest, ManualMacAndPortWin) {
  RsPatch patch;
  patch.mac.emplace(mac("02:00:00:00:00:77"));
  patch.port = "eth1";
  patch.vlan = 7;
  ASSERT_TRUE(registry_.set_rs(kWeb, kRs2, patch));
  auto rs = spec().real_servers[1];
  EXPECT_EQ(rs.mac, mac("02:00:00:00:00:77"));
  EXPECT_EQ(rs.egress, PortIndex{1});
  EXPECT_EQ(rs.vlan, 7);
  auto needed = next_hops_needed(registry_);
  EXPECT_FALSE(needed.at({kRs2, 7, "eth1"}));
  EXPECT_TRUE(needed.at({kRs1, 0, ""}));
}

TEST_F(TableBuilderTest, SlotsAreOwnedOnlyByWhoTakesNewFlows) {
  ASSERT_TRUE(registry_.set_rs(kWeb, kRs1, rs_weight(0)));
  ASSERT_TRUE(registry_.set_rs(kWeb, kRs2, rs_state(ManualState::Down)));
  auto one = spec();
  EXPECT_EQ(shares(one), (std::vector<std::size_t>{0, 0, kMaglevSlotsDefault}));
  EXPECT_TRUE(one.real_servers[0].up) << "weight 0: its flows go on";
  EXPECT_FALSE(one.real_servers[1].up);
  ASSERT_TRUE(registry_.drain_rs(kWeb, kRs3, 0, 1));
  auto none = spec();
  EXPECT_EQ(shares(none), (std::vector<std::size_t>{0, 0, 0}));
  EXPECT_EQ(none.real_servers[2].weight, 0U);
  EXPECT_TRUE(none.real_servers[2].up);
}

TEST_F(TableBuilderTest, WeightsAreHonouredToWithinASlot) {
  ASSERT_TRUE(registry_.set_rs(kWeb, kRs1, rs_weight(7)));
  ASSERT_TRUE(registry_.set_rs(kWeb, kRs2, rs_weight(2)));
  auto counts = shares(spec());
  for (std::size_t i = 0; i < 3; ++i) {
    double exact = kMaglevSlotsDefault * std::array{0.7, 0.2, 0.1}[i];
    EXPECT_NEAR(static_cast<double>(counts[i]), exact, 1.0);
  }
}

TEST_F(TableBuilderTest, UnchangedTablesAreShared) {
  auto before = spec().services[0].table;
  ASSERT_TRUE(registry_.add_service(service_addr("192.0.2.11:80/tcp"), {}));
  EXPECT_EQ(spec().services[0].table, before);
  ASSERT_TRUE(registry_.set_rs(kWeb, kRs2, rs_weight(5)));
  auto changed = spec().services[0].table;
  EXPECT_NE(changed, before);
  ServicePatch slots;
  slots.mh_slots = 251;
  ASSERT_TRUE(registry_.set_service(kWeb, slots));
  EXPECT_EQ(spec().services[0].table->head().slots, 251U);
}

TEST_F(TableBuilderTest, AServiceWithoutRealServersHasNoTable) {
  ASSERT_TRUE(registry_.add_service(service_addr("192.0.2.9:80/tcp"), {}));
  auto built = spec();
  EXPECT_EQ(built.services[0].table, nullptr);
  EXPECT_NE(built.services[1].table, nullptr);
  EXPECT_TRUE(builder_.build(registry_, hops_, kPorts, 1'000));
}

TEST_F(TableBuilderTest, PicksAreSecretButTheSameInEveryBuildOfAnInstance) {
  auto first = spec().services[0];
  TableBuilder same(HashKeys{{1, 2}, {3, 4}}, true, memory_);
  TableBuilder other(HashKeys{{1, 2}, {3, 5}}, true, memory_);
  auto again = same.spec(registry_, hops_, kPorts, 1'000).value().services[0];
  EXPECT_EQ(again.hash_key, first.hash_key);
  EXPECT_EQ(owners(*again.table), owners(*first.table));
  auto foreign = other.spec(registry_, hops_, kPorts, 1'000).value().services[0];
  EXPECT_NE(foreign.hash_key, first.hash_key);
  EXPECT_NE(owners(*foreign.table), owners(*first.table));
  HashKeys keys{{1, 2}, {3, 4}};
  EXPECT_NE(keys.of_service(kWeb), keys.of_service(service_addr("192.0.2.10:81/tcp")));
  EXPECT_NE(keys.of_service(kWeb), keys.of_service(service_addr("192.0.2.10:80/udp")));
  EXPECT_NE(HashKeys::random().flow.k0, HashKeys::random().flow.k0);
}

TEST_F(TableBuilderTest, SorryServerStandsOutsideOfTheRange) {
  ServicePatch patch;
  patch.sorry.emplace(SorrySettings{ip("192.0.2.99"), mac("02:00:00:00:00:99"), 0});
  ASSERT_TRUE(registry_.set_service(kWeb, patch));
  auto built = spec();
  const Service& service = built.services[0];
  EXPECT_EQ(service.sorry, 3U);
  EXPECT_EQ(service.rs_count, 3U);
  const RealServer& sorry = built.real_servers.at(service.sorry);
  EXPECT_TRUE(sorry.up && sorry.has_mac && sorry.weight == 1);
  EXPECT_EQ(sorry.id, registry_.services().at(kWeb).sorry_id);
  for (const IpAddr& rs : {kRs1, kRs2, kRs3}) {
    ASSERT_TRUE(registry_.set_rs(kWeb, rs, rs_state(ManualState::Down)));
  }
  const Service now = spec().services[0];
  for (std::uint16_t owner : owners(*now.table)) ASSERT_EQ(now.members.at(owner), sorry.id);
}

TEST_F(TableBuilderTest, VipsComeOnceWithTheirPolicy) {
  ServicePatch pass;
  pass.vip_unmatched = Unmatched::Pass;
  pass.icmp_echo = IcmpEcho::Pass;
  ASSERT_TRUE(registry_.add_service(service_addr("192.0.2.10:443/tcp"), {}));
  ASSERT_TRUE(registry_.add_service(service_addr("[2001:db8::1]:443/tcp"), pass));
  auto built = spec();
  ASSERT_EQ(built.vips.size(), 2U);
  EXPECT_FALSE(built.vips[0].pass_unmatched);
  EXPECT_TRUE(built.vips[0].echo_reply);
  EXPECT_TRUE(built.vips[1].pass_unmatched);
  EXPECT_FALSE(built.vips[1].echo_reply);
}

TEST_F(TableBuilderTest, TheTableFindsWhatTheRegistryHolds) {
  auto table = builder_.build(registry_, hops_, kPorts, 1'000);
  ASSERT_TRUE(table) << table.error().message;
  RsId id = registry_.rs(kWeb, kRs1).value()->id;
  ASSERT_NE((*table)->rs(id), nullptr);
  EXPECT_EQ((*table)->rs(id)->address, kRs1);
  EXPECT_TRUE((*table)->is_vip(ip("192.0.2.10")));
  EXPECT_TRUE((*table)->decrement_ttl());
  Registry empty(small_limits());
  EXPECT_TRUE(builder_.build(empty, {}, kPorts, 1'000)) << "no service at all";
}

}  // namespace
}  // namespace lb
