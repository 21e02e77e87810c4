// SPDX-License-Identifier: Apache-2.0
// Bodies of API requests: what they say, and that everything wrong is named.
#include "control/requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/refusal.h"
#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

using testing::HasSubstr;

TEST(Requests, AddServiceReadsEverySetting) {
  auto request = parse_add_service(
      R"({"address": "192.0.2.10:80/tcp", "name": "web", "scheduler": "mh", "mh_slots": 251,
    "transition_ms": 1800000, "affinity": "always", "flow_rate": 5,
    "vip_owner": "external", "vip_unmatched": "pass", "icmp_echo": "pass",
    "sorry": {"address": "192.0.2.99", "mac": null, "vlan": 4},
    "health": {"type": "tcp", "port": 8080, "interval_ms": 500, "timeout_ms": 100, "rise": 1, "fall": 5},
    "timeouts": {"established_ms": 1000, "udp_ms": 2000}})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->address, kWeb);
  auto settings = ServiceSettings::defaults(kWeb);
  request->settings.apply_to(settings);
  EXPECT_EQ(settings.name, "web");
  EXPECT_EQ(settings.scheduler, Scheduler::Mh);
  EXPECT_EQ(settings.mh_slots, 251U);
  EXPECT_EQ(settings.transition_ms, 1'800'000U);
  EXPECT_EQ(settings.affinity, Affinity::Always);
  EXPECT_EQ(settings.flow_rate, 5U);
  EXPECT_EQ(settings.vip_owner, VipOwner::External);
  EXPECT_EQ(settings.sorry->vlan, 4);
  EXPECT_EQ(settings.health.port, 8080);
  EXPECT_EQ(settings.health.fall, 5U);
  EXPECT_EQ(settings.timeouts.established_ms, 1000U);
  EXPECT_EQ(settings.timeouts.udp_ms, 2000U);
}

TEST(Requests, NullTakesAway) {
  auto service = parse_set_service(R"({"sorry": null})");
  ASSERT_TRUE(service && service->sorry);
  EXPECT_FALSE(*service->sorry);
  auto rs = parse_set_rs(R"({"mac": null, "port": null})");
  ASSERT_TRUE(rs && rs->mac && rs->port);
  EXPECT_FALSE(*rs->mac);
  EXPECT_EQ(*rs->port, "");
}

TEST(Requests, RealServer) {
  auto request = parse_add_rs(
      R"({"address": "192.0.2.21", "weight": 0, "mac": "02:00:00:00:00:21", "vlan": 5, "port": "eth1", "state": "down"})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->address, kRs1);
  RsSettings settings;
  request->settings.apply_to(settings);
  EXPECT_EQ(settings, (RsSettings{0, mac("02:00:00:00:00:21"), 5, "eth1", ManualState::Down}));
}

TEST(Requests, WhatIsWrongIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not JSON"},
      {"{", "not JSON"},
      {"[]", "the body is an array, an object belongs there"},
      {"{} {}", "not JSON"},
      {R"({"wieght": 1})", "unknown key \"wieght\"; did you mean \"weight\"?"},
      {R"({"weight": "1"})",
       "weight: a string stands here, an integer from 0 to 65535 belongs here"},
      {R"({"weight": 1.5})", "weight: a floating-point number stands here"},
      {R"({"weight": 65536})", "weight: 65536 is out of range"},
      {R"({"weight": 18446744073709551615})", "is out of range"},
      {R"({"weight": null})", "weight: null stands here"},
      {R"({"mac": "ff:ff:ff:ff:ff:ff"})", "is a group address"},
      {R"({"state": "UP"})", "did you mean"},
  };
  for (const auto& [body, message] : cases) {
    auto patch = parse_set_rs(body);
    ASSERT_FALSE(patch) << body;
    EXPECT_EQ(http_status(patch.error()), 400);
    EXPECT_THAT(patch.error().message, HasSubstr(message)) << body;
  }
  EXPECT_THAT(parse_set_service(R"({"health": {"interval": "5s"}})").error().message,
              HasSubstr("did you mean \"interval_ms\"?"));
  EXPECT_THAT(parse_set_service(R"({"transition": "15m"})").error().message,
              HasSubstr("did you mean \"transition_ms\"?"));
  EXPECT_THAT(parse_set_service(R"({"transition_ms": 999})").error().message,
              HasSubstr("transition_ms: 999ms is too short"));
  EXPECT_THAT(parse_set_service(R"({"affinity": "Always"})").error().message,
              HasSubstr("did you mean \"always\"?"));
  EXPECT_THAT(parse_set_service(R"({"flow_rate": 10000001})").error().message,
              HasSubstr("flow_rate: 10000001 is out of range"));
  EXPECT_THAT(parse_add_service("{}").error().message, HasSubstr("address: is missing"));
  EXPECT_THAT(parse_add_rs(R"({"address": 5})").error().message,
              HasSubstr("address: an integer stands here"));
}

TEST(Requests, DeepAndLongBodiesAreRefusedQuickly) {
  EXPECT_FALSE(parse_set_rs(std::string(100'000, '[')));
  std::string many = "{";
  for (int i = 0; i < 50'000; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  many += "\"z\":1}";
  auto patch = parse_set_rs(many);
  ASSERT_FALSE(patch);
  EXPECT_LT(patch.error().message.size(), 20'000U);
}

TEST(Requests, DrainAndPanic) {
  EXPECT_EQ(parse_drain("").value_or(1), 0U);
  EXPECT_EQ(parse_drain("{}").value_or(1), 0U);
  EXPECT_EQ(parse_drain(R"({"timeout_ms": 300000})").value_or(1), 300'000U);
  EXPECT_FALSE(parse_drain(R"({"timeout_ms": -1})"));
  EXPECT_FALSE(parse_drain(R"({"timeout": "5m"})"));
  EXPECT_TRUE(parse_panic(R"({"on": true})").value_or(false));
  EXPECT_FALSE(parse_panic(R"({"on": false})").value_or(true));
  EXPECT_FALSE(parse_panic("{}"));
  EXPECT_FALSE(parse_panic(R"({"on": 1})"));
}

TEST(Refusal, StatusesAndWords) {
  EXPECT_EQ(http_status(Error{make_error_code(Refusal::BadRequest), ""}), 400);
  EXPECT_EQ(http_status(Error{std::error_code(EPERM, std::system_category()), ""}), 500);
  EXPECT_EQ(refusal_word(Error{std::error_code(EPERM, std::system_category()), ""}), "system");
  EXPECT_EQ(make_error_code(Refusal::Clash).message(), "clash");
}

}  // namespace
}  // namespace lb
