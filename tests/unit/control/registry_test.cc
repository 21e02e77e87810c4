// SPDX-License-Identifier: Apache-2.0
// Registry: whole changes or refused ones, ids, health, drains.
#include "control/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

using testing::HasSubstr;

Registry with_two_rs() {
  Registry registry(small_limits());
  EXPECT_TRUE(registry.add_service(kWeb, {}));
  EXPECT_TRUE(registry.add_rs(kWeb, kRs1, {}));
  EXPECT_TRUE(registry.add_rs(kWeb, kRs2, rs_weight(5)));
  return registry;
}

TEST(SlotPool, GivesUnusedSlotsFirstThenTheLongestFree) {
  SlotPool pool(3);
  EXPECT_EQ(pool.take(), 0U | 1U << 16);
  EXPECT_EQ(pool.take(), 1U | 1U << 16);
  pool.give_back(1);
  pool.give_back(0);
  EXPECT_EQ(pool.take(), 2U | 1U << 16);
  EXPECT_EQ(pool.take(), 1U | 2U << 16);
  EXPECT_EQ(pool.take(), 0U | 2U << 16);
  EXPECT_EQ(pool.take(), 0U);
  EXPECT_EQ(pool.used(), 3U);
}

TEST(SlotPool, RollBackGivesNoIdAgain) {
  SlotPool pool(3);
  const std::uint32_t kept = pool.take();
  const SlotPool before = pool;
  const std::uint32_t undone = pool.take();
  pool.give_back(slot_of(static_cast<RsId>(kept)));
  pool.roll_back(before);
  EXPECT_EQ(pool.used(), 1U);
  std::set<std::uint32_t> given = {kept, undone};
  EXPECT_TRUE(given.insert(pool.take()).second);
  EXPECT_TRUE(given.insert(pool.take()).second);
  EXPECT_EQ(pool.take(), 0U) << "the slot given back meanwhile is taken again";
}

TEST(SlotPool, IdsOfAnEarlierRunAreTakenAndNoneIsGivenAgain) {
  SlotPool pool(5);
  EXPECT_TRUE(pool.claim(3U | 7U << 16));
  EXPECT_TRUE(pool.claim(1U | 2U << 16)) << "in any order";
  EXPECT_FALSE(pool.claim(3U | 9U << 16)) << "taken";
  EXPECT_FALSE(pool.claim(5U | 1U << 16)) << "out of range";
  EXPECT_FALSE(pool.claim(4U)) << "no id has incarnation 0";
  pool.saw(0U | 5U << 16);
  pool.saw(4U | 65535U << 16);
  pool.saw(77U | 1U << 16);
  EXPECT_EQ(pool.used(), 2U);
  EXPECT_EQ(pool.take(), 4U | 1U << 16) << "an unused slot, past the incarnation that was seen";
  EXPECT_EQ(pool.take(), 0U | 6U << 16);
  EXPECT_EQ(pool.take(), 2U | 1U << 16);
  EXPECT_EQ(pool.take(), 0U) << "all are taken";
  pool.give_back(3);
  EXPECT_EQ(pool.take(), 3U | 8U << 16);
}

TEST(SlotPool, IncarnationWrapsPastNone) {
  SlotPool pool(1);
  std::uint32_t last = 0;
  for (int i = 0; i < 65536; ++i) {
    last = pool.take();
    ASSERT_NE(last, 0U);
    pool.give_back(0);
  }
  EXPECT_EQ(last, 1U << 16);
}

TEST(Registry, AddsAndRefusesTheSecondTime) {
  auto registry = with_two_rs();
  auto revision = registry.revision();
  auto again = registry.add_service(kWeb, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(http_status(again.error()), 409);
  EXPECT_THAT(again.error().message, HasSubstr("service 192.0.2.10:80/tcp exists already"));
  auto rs = registry.add_rs(kWeb, kRs1, rs_weight(9));
  ASSERT_FALSE(rs);
  EXPECT_EQ(http_status(rs.error()), 409);
  EXPECT_EQ(registry.rs(kWeb, kRs1).value()->settings.weight, 1U);
  EXPECT_EQ(registry.revision(), revision);
}

TEST(Registry, UnknownNamesSuggestTheNearest) {
  auto registry = with_two_rs();
  auto service = registry.set_service(service_addr("192.0.2.10:81/tcp"), {});
  ASSERT_FALSE(service);
  EXPECT_EQ(http_status(service.error()), 404);
  EXPECT_EQ(refusal_word(service.error()), "no_such_service");
  EXPECT_THAT(service.error().message, HasSubstr("did you mean 192.0.2.10:80/tcp?"));
  auto rs = registry.del_rs(kWeb, ip("192.0.2.31"));
  ASSERT_FALSE(rs);
  EXPECT_EQ(refusal_word(rs.error()), "no_such_real_server");
  EXPECT_THAT(rs.error().message, HasSubstr("did you mean 192.0.2.2"));
}

TEST(Registry, FullTablesRefuse) {
  Registry registry({1, 2, {"eth0"}});
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  auto service = registry.add_service(service_addr("192.0.2.11:80/tcp"), {});
  ASSERT_FALSE(service);
  EXPECT_EQ(http_status(service.error()), 422);
  EXPECT_EQ(refusal_word(service.error()), "table_full");
  ASSERT_TRUE(registry.add_rs(kWeb, kRs1, {}));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs2, {}));
  EXPECT_EQ(refusal_word(registry.add_rs(kWeb, kRs3, {}).error()), "table_full");
  ServicePatch sorry;
  sorry.sorry.emplace(SorrySettings{ip("192.0.2.99"), std::nullopt, 0});
  EXPECT_EQ(refusal_word(registry.set_service(kWeb, sorry).error()), "table_full");
  ASSERT_TRUE(registry.del_rs(kWeb, kRs1));
  EXPECT_TRUE(registry.set_service(kWeb, sorry));
}

TEST(Registry, RefusedValuesChangeNothing) {
  auto registry = with_two_rs();
  auto before = registry.services().at(kWeb).settings;
  auto revision = registry.revision();
  ServicePatch patch = with_scheduler(Scheduler::Mh);
  patch.health.timeout_ms = 60'000;  // longer than the interval
  auto status = registry.set_service(kWeb, patch);
  ASSERT_FALSE(status);
  EXPECT_EQ(http_status(status.error()), 400);
  EXPECT_THAT(status.error().message, HasSubstr("health.timeout"));
  EXPECT_EQ(registry.services().at(kWeb).settings, before);
  for (const char* bad : {"192.0.2.10", "2001:db8::1", "0.0.0.0", "127.0.0.1", "224.0.0.5",
                          "255.255.255.255", "0.1.2.3"}) {
    EXPECT_EQ(http_status(registry.add_rs(kWeb, ip(bad), {}).error()), 400) << bad;
  }
  RsPatch port;
  port.port = "eth7";
  EXPECT_EQ(http_status(registry.set_rs(kWeb, kRs1, port).error()), 400);
  EXPECT_EQ(registry.revision(), revision);
}

TEST(Registry, ATransitionIsNeverShorterThanTheIdleTimeoutOfTheFlows) {
  auto registry = with_two_rs();
  ServicePatch longer;
  longer.timeouts[0] = 3'600'000;  // established
  EXPECT_TRUE(registry.set_service(kWeb, longer)) << "a transition that nobody said grows with it";
  ServicePatch shorter;
  shorter.transition_ms = 900'000;
  auto status = registry.set_service(kWeb, shorter);
  ASSERT_FALSE(status);
  EXPECT_EQ(http_status(status.error()), 400);
  EXPECT_THAT(status.error().message,
              HasSubstr("transition: 15m is shorter than timeouts.established, 1h"));
  shorter.timeouts[0] = 900'000;
  ASSERT_TRUE(registry.set_service(kWeb, shorter));
  status = registry.set_service(kWeb, longer);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("15m is shorter than timeouts.established, 1h"));
  longer.transition_ms = 0;
  EXPECT_TRUE(registry.set_service(kWeb, longer));
}

TEST(Registry, VipAndRealServerCannotBeOneAddress) {
  auto registry = with_two_rs();
  auto vip = registry.add_service(service_addr("192.0.2.21:80/tcp"), {});
  ASSERT_FALSE(vip);
  EXPECT_EQ(http_status(vip.error()), 409);
  ASSERT_TRUE(registry.add_service(service_addr("192.0.2.11:80/tcp"), {}));
  EXPECT_EQ(refusal_word(registry.add_rs(kWeb, ip("192.0.2.11"), {}).error()), "clash");
}

TEST(Registry, PortsOfOneVip) {
  Registry registry({64, 16, {"eth0"}});
  ASSERT_TRUE(registry.add_service(service_addr("192.0.2.10:8000-8100/tcp"), {}));
  EXPECT_TRUE(registry.add_service(service_addr("192.0.2.10:8050/tcp"), {}));
  EXPECT_TRUE(registry.add_service(service_addr("192.0.2.10:any/tcp"), {}));
  EXPECT_TRUE(registry.add_service(service_addr("192.0.2.10:8050-8150/udp"), {}));
  EXPECT_TRUE(registry.add_service(service_addr("192.0.2.11:8050-8150/tcp"), {}));
  EXPECT_EQ(
      refusal_word(registry.add_service(service_addr("192.0.2.10:8100-8150/tcp"), {}).error()),
      "clash");
  for (int i = 0; i < 15; ++i) {
    auto text = "192.0.2.10:" + std::to_string(9000 + 10 * i) + "-" +
                std::to_string(9009 + 10 * i) + "/tcp";
    ASSERT_TRUE(registry.add_service(service_addr(text), {})) << text;
  }
  auto full = registry.add_service(service_addr("192.0.2.10:10000-10009/tcp"), {});
  ASSERT_FALSE(full);
  EXPECT_THAT(full.error().message, HasSubstr("16 port ranges"));
}

TEST(Registry, SettingsOfTheVipAreSharedByItsServices) {
  Registry registry(small_limits());
  auto tls = service_addr("192.0.2.10:443/tcp");
  ServicePatch external;
  external.vip_owner = VipOwner::External;
  ASSERT_TRUE(registry.add_service(kWeb, external));
  ASSERT_TRUE(registry.add_service(tls, {}));
  EXPECT_EQ(registry.services().at(tls).settings.vip_owner, VipOwner::External);
  ServicePatch pass;
  pass.vip_unmatched = Unmatched::Pass;
  ASSERT_TRUE(registry.set_service(tls, pass));
  EXPECT_EQ(registry.services().at(kWeb).settings.vip_unmatched, Unmatched::Pass);
  ServicePatch lbd;
  lbd.vip_owner = VipOwner::Lbd;
  EXPECT_EQ(refusal_word(registry.add_service(service_addr("192.0.2.10:81/tcp"), lbd).error()),
            "clash");
  EXPECT_EQ(registry.vips(), (std::map<IpAddr, VipOwner>{{ip("192.0.2.10"), VipOwner::External}}));
}

TEST(Registry, NoRealServerIsUpBeforeItsFirstCheck) {
  auto registry = with_two_rs();
  const RsEntry* rs = registry.rs(kWeb, kRs1).value();
  EXPECT_EQ(rs->health, Health::Unknown);
  EXPECT_FALSE(is_up(*rs));
  EXPECT_EQ(why_no_new_flows(*rs), "not checked yet");
  auto revision = registry.revision();
  EXPECT_TRUE(registry.set_health(rs->id, Health::Up, "connected", 10));
  EXPECT_TRUE(takes_new_flows(*rs));
  EXPECT_GT(registry.revision(), revision);
  EXPECT_FALSE(registry.set_health(rs->id, Health::Up, "connected", 11));
  EXPECT_TRUE(registry.set_health(rs->id, Health::Down, "connection refused", 12));
  EXPECT_EQ(why_no_new_flows(*rs), "down: connection refused");
}

TEST(Registry, UncheckedRealServersAreUp) {
  Registry registry(small_limits());
  auto dns = service_addr("192.0.2.10:53/udp");
  ASSERT_TRUE(registry.add_service(dns, {}));
  ASSERT_TRUE(registry.add_rs(dns, kRs1, {}));
  const RsEntry* rs = registry.rs(dns, kRs1).value();
  EXPECT_EQ(rs->health, Health::Off);
  EXPECT_TRUE(is_up(*rs));
  EXPECT_FALSE(registry.set_health(rs->id, Health::Down, "late result", 1));
  ServicePatch check;
  check.health.type = HealthType::Tcp;
  EXPECT_EQ(http_status(registry.set_service(dns, check).error()), 400);  // no TCP port known
  check.health.port = 53;
  ASSERT_TRUE(registry.set_service(dns, check));
  EXPECT_TRUE(is_up(*rs)) << "turning checks on takes nobody out of service";
  ASSERT_TRUE(registry.set_service(dns, unchecked()));
  EXPECT_EQ(rs->health, Health::Off);
}

TEST(Registry, ByHandWinsOverTheChecks) {
  auto registry = with_two_rs();
  const RsEntry* rs = registry.rs(kWeb, kRs1).value();
  ASSERT_TRUE(registry.set_rs(kWeb, kRs1, rs_state(ManualState::Up)));
  EXPECT_TRUE(is_up(*rs));
  registry.set_health(rs->id, Health::Down, "timeout", 1);
  EXPECT_TRUE(is_up(*rs));
  ASSERT_TRUE(registry.set_rs(kWeb, kRs1, rs_state(ManualState::Down)));
  registry.set_health(rs->id, Health::Up, "", 2);
  EXPECT_FALSE(is_up(*rs));
  EXPECT_EQ(why_no_new_flows(*rs), "down by hand");
  ASSERT_TRUE(registry.set_rs(kWeb, kRs1, rs_state(ManualState::Auto)));
  EXPECT_TRUE(is_up(*rs));
}

TEST(Registry, IdsNameOneOwnerOnly) {
  auto registry = with_two_rs();
  RsId id = registry.rs(kWeb, kRs1).value()->id;
  EXPECT_EQ(registry.find(id), registry.rs(kWeb, kRs1).value());
  EXPECT_EQ(*registry.rs_at_slot(slot_of(id)).address, kRs1);
  EXPECT_EQ(*registry.find(registry.services().at(kWeb).id), kWeb);
  ASSERT_TRUE(registry.del_rs(kWeb, kRs1));
  EXPECT_EQ(registry.find(id), nullptr);
  EXPECT_FALSE(registry.set_health(id, Health::Up, "", 1));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs1, {}));
  EXPECT_NE(registry.rs(kWeb, kRs1).value()->id, id);
  EXPECT_EQ(registry.find(make_rs_id(60000, 1)), nullptr);
}

TEST(Registry, SorryServerHasAnIdAndASlot) {
  auto registry = with_two_rs();
  ServicePatch patch;
  patch.sorry.emplace(SorrySettings{ip("192.0.2.99"), std::nullopt, 0});
  ASSERT_TRUE(registry.set_service(kWeb, patch));
  RsId id = registry.services().at(kWeb).sorry_id;
  auto ref = registry.rs_at_slot(slot_of(id));
  EXPECT_EQ(*ref.address, ip("192.0.2.99"));
  EXPECT_EQ(ref.entry, nullptr);
  patch.sorry.emplace(SorrySettings{ip("192.0.2.99"), mac("02:00:00:00:00:99"), 5});
  ASSERT_TRUE(registry.set_service(kWeb, patch));
  EXPECT_EQ(registry.services().at(kWeb).sorry_id, id) << "the same address keeps its id";
  EXPECT_EQ(refusal_word(registry.add_rs(kWeb, ip("192.0.2.99"), {}).error()), "clash");
  patch.sorry.emplace(std::nullopt);
  ASSERT_TRUE(registry.set_service(kWeb, patch));
  EXPECT_EQ(registry.rs_at_slot(slot_of(id)).address, nullptr);
}

TEST(Registry, LookupArraysAreBoundedInSum) {
  RegistryLimits limits = small_limits();
  limits.mh_slots_max = 1'000;
  Registry registry(limits);
  ServicePatch mh = with_scheduler(Scheduler::Mh);
  mh.mh_slots = 499;
  ASSERT_TRUE(registry.add_service(kWeb, mh));
  ASSERT_TRUE(registry.add_service(service_addr("192.0.2.11:80/tcp"), mh));
  auto refused = registry.add_service(service_addr("192.0.2.12:80/tcp"), mh);
  ASSERT_FALSE(refused);
  EXPECT_EQ(http_status(refused.error()), 422);
  EXPECT_THAT(refused.error().message, HasSubstr("raise mh_slots_max in [dataplane]"));
  ASSERT_TRUE(registry.add_service(service_addr("192.0.2.13:80/tcp"), {})) << "wrr takes no slots";
  EXPECT_FALSE(registry.set_service(service_addr("192.0.2.13:80/tcp"), mh));
  ServicePatch larger;
  larger.mh_slots = 503;
  EXPECT_FALSE(registry.set_service(kWeb, larger));
  larger.mh_slots = 251;
  ASSERT_TRUE(registry.set_service(kWeb, larger));
  ASSERT_TRUE(registry.del_service(service_addr("192.0.2.11:80/tcp")));
  ASSERT_TRUE(registry.set_service(service_addr("192.0.2.13:80/tcp"), mh));
}

/// Every way that a backend comes and goes: what is left is free to be a VIP, what stays is not.
TEST(Registry, BackendsAreCountedThroughEveryChange) {
  auto registry = with_two_rs();
  auto is_free = [&](const IpAddr& address) {
    ServiceAddr probe = service_addr("192.0.2.10:999/tcp");
    probe.vip = address;
    if (!registry.add_service(probe, {})) return false;
    EXPECT_TRUE(registry.del_service(probe));
    return true;
  };
  const ServiceAddr other = service_addr("192.0.2.11:80/tcp");
  ServicePatch sorry;
  sorry.sorry.emplace(SorrySettings{kRs3, {}, 0});
  ASSERT_TRUE(registry.add_service(other, sorry));
  ASSERT_TRUE(registry.add_rs(other, kRs1, {}));
  EXPECT_FALSE(is_free(kRs3));
  sorry.sorry.emplace(std::nullopt);
  ASSERT_TRUE(registry.set_service(other, sorry));
  EXPECT_TRUE(is_free(kRs3));
  ASSERT_TRUE(registry.del_rs(kWeb, kRs1));
  EXPECT_FALSE(is_free(kRs1)) << "of the other service";
  ASSERT_TRUE(registry.del_service(other));
  EXPECT_TRUE(is_free(kRs1));
  ASSERT_TRUE(registry.drain_rs(kWeb, kRs2, 0, 0));
  registry.remove_drained(registry.drains_over(100'000, [](auto&&...) { return DrainRest{}; }));
  EXPECT_TRUE(is_free(kRs2));
  registry.set_on_link([](const IpAddr&, const RsSettings&) -> Status { return fail(EINVAL, ""); });
  EXPECT_FALSE(registry.add_rs(kWeb, kRs2, {}));
  EXPECT_TRUE(is_free(kRs2));
}

TEST(Registry, DrainEndsWithTheLastFlowOrTheDeadline) {
  auto registry = with_two_rs();
  std::map<std::uint32_t, std::uint64_t> flows;
  bool unseen = true;
  auto count = [&](const ServiceAddr& service, RsId rs) {
    EXPECT_EQ(service, kWeb);
    return DrainRest{.flows = flows[slot_of(rs)], .unseen = unseen};
  };
  RsId first = registry.rs(kWeb, kRs1).value()->id;
  registry.set_health(first, Health::Up, "", 0);
  flows[slot_of(first)] = 2;
  ASSERT_TRUE(registry.drain_rs(kWeb, kRs1, 0, 1'000));
  EXPECT_EQ(why_no_new_flows(*registry.find(first)), "draining");
  EXPECT_TRUE(is_up(*registry.find(first))) << "its flows go on";
  EXPECT_TRUE(registry.drains_over(1'000'000, count).empty()) << "no deadline";
  flows[slot_of(first)] = 0;
  EXPECT_TRUE(registry.drains_over(1'000'000, count).empty()) << "some may not be remembered";
  unseen = false;
  auto ends = registry.drains_over(1'000'001, count);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_EQ(ends[0].real_server, kRs1);
  registry.remove_drained(ends);
  EXPECT_EQ(registry.find(first), nullptr);

  RsId second = registry.rs(kWeb, kRs2).value()->id;
  flows[slot_of(second)] = 7;
  ASSERT_TRUE(registry.drain_rs(kWeb, kRs2, 5'000, 2'000'000));
  EXPECT_TRUE(registry.drains_over(2'004'999, count).empty());
  ends = registry.drains_over(2'005'000, count);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_EQ(ends[0].flows_left, 7U);
  registry.remove_drained(ends);
  EXPECT_TRUE(registry.services().at(kWeb).real_servers.empty());
}

TEST(Registry, DrainWaitsUntilTheWorkersHaveSeenItAndAWeightEndsIt) {
  auto registry = with_two_rs();
  auto none = [](auto&&...) { return DrainRest{}; };
  ASSERT_TRUE(registry.drain_rs(kWeb, kRs1, 0, 1'000));
  EXPECT_TRUE(registry.drains_over(1'000 + Registry::kDrainGraceMs - 1, none).empty());
  ASSERT_TRUE(registry.set_rs(kWeb, kRs1, rs_weight(3)));
  EXPECT_TRUE(registry.drains_over(100'000, none).empty());
  EXPECT_FALSE(registry.rs(kWeb, kRs1).value()->draining);
}

TEST(Registry, RealServerOffTheNetworksIsRefusedWhole) {
  auto registry = with_two_rs();
  registry.set_on_link([](const IpAddr& address, const RsSettings& settings) -> Status {
    if (settings.vlan != 0) return {};
    return refuse(Refusal::NotOnLink, address.to_string() + " is on no attached network");
  });
  auto revision = registry.revision();
  auto status = registry.add_rs(kWeb, kRs3, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(http_status(status.error()), 422);
  EXPECT_FALSE(registry.rs(kWeb, kRs3));
  EXPECT_EQ(registry.revision(), revision);
  EXPECT_TRUE(registry.set_rs(kWeb, kRs1, rs_weight(2))) << "it stays where it is";
  RsPatch manual;
  manual.mac.emplace(mac("02:00:00:00:00:23"));
  EXPECT_TRUE(registry.add_rs(kWeb, kRs3, manual)) << "a manual MAC needs no network";
  manual.mac.emplace(std::nullopt);
  EXPECT_FALSE(registry.set_rs(kWeb, kRs3, manual));
  EXPECT_TRUE(registry.rs(kWeb, kRs3).value()->settings.mac);
}

}  // namespace
}  // namespace lb
