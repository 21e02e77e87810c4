// SPDX-License-Identifier: Apache-2.0
// Access lists in control: config, registry, overlay, API; whole changes or refused ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "control/requests.h"
#include "control/toml_writer.h"
#include "tests/support/control_world.h"
#include "tests/unit/control/api_fixture.h"
#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

IpPrefix prefix(const std::string& text) { return *IpPrefix::parse(text); }
AclEntry entry(const std::string& text, std::uint32_t rate = LB_ACL_DENY, std::uint32_t burst = 0) {
  return {.prefix = prefix(text), .rate = rate, .burst = burst};
}

const std::string kService = "[[service]]\naddress = \"192.0.2.10:80/tcp\"\n";
const std::string kListed = kService +
                            "acl = [{ prefix = \"10.0.0.0/8\", action = \"deny\" },\n"
                            "  { prefix = \"10.1.0.0/16\", action = \"allow\" }]\n";

std::string config_error(const std::string& services) {
  auto config = Config::parse("[[port]]\ninterface = \"eth0\"\n" + services, "lbd.toml");
  EXPECT_FALSE(config) << services;
  return config ? "" : config.error().message;
}

TEST(AclConfig, ReadsEveryKindAndWritesItAgain) {
  const auto services =
      file_of(kService +
              "acl = [{ prefix = \"10.0.0.0/8\", action = \"deny\" },\n"
              "{ prefix = \"10.1.0.0/16\", action = \"allow\" }, { prefix = \"10.1.1.1\", limit = "
              "1000 },\n{ prefix = \"0.0.0.0/0\", limit = 5, burst = 7 }]\n");
  const Acl expected = Acl::of({entry("10.0.0.0/8"), entry("10.1.0.0/16", LB_ACL_ALLOW),
                                entry("10.1.1.1/32", 1000, 1000), entry("0.0.0.0/0", 5, 7)});
  EXPECT_EQ(services[0].acl, expected);
  Config config;
  config.dataplane.ports = {{"eth0"}};
  config.services = services;
  auto again = Config::parse(to_toml(config), "again.toml");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->services, services);
}

TEST(AclConfig, SaysWhatIsWrongAndWhere) {
  auto with = [](const std::string& item) { return kService + "acl = [{ " + item + " }]\n"; };
  EXPECT_THAT(config_error(with("prefix = \"10.1.2.3/8\", action = \"deny\"")),
              HasSubstr("lbd.toml:5:19: service.acl.prefix: \"10.1.2.3/8\" has bits set behind the "
                        "first 8: write 10.0.0.0/8 for the network"));
  EXPECT_THAT(config_error(with("prefix = \"2001:db8::/32\", action = \"deny\"")),
              HasSubstr("2001:db8::/32 is an IPv6 prefix, and the clients of 192.0.2.10:80/tcp are "
                        "IPv4"));
  EXPECT_THAT(config_error(with("prefix = \"10.0.0.0/8\"")), HasSubstr("acl.action: is missing"));
  EXPECT_THAT(config_error(with("action = \"deny\"")), HasSubstr("acl.prefix: is missing"));
  EXPECT_THAT(config_error(with("prefix = \"10.0.0.0/8\", action = \"deny\", limit = 5")),
              HasSubstr("one of the two"));
  EXPECT_THAT(config_error(with("prefix = \"10.0.0.0/8\", action = \"deny\", burst = 5")),
              HasSubstr("acl.burst: is of a limit"));
  EXPECT_THAT(config_error(with("prefix = \"10.0.0.0/8\", action = \"drop\"")),
              HasSubstr("acl.action: \"drop\" is not known"));
  EXPECT_THAT(config_error(with("prefix = \"10.0.0.0/8\", limit = 0")), HasSubstr("out of range"));
  EXPECT_THAT(config_error(with("prefix = \"10.0.0.0/8\", limits = 5")),
              HasSubstr("did you mean \"limit\"?"));
  EXPECT_THAT(config_error(kService + "acl = [{ prefix = \"10.0.0.0/8\", action = \"deny\" },\n"
                                      "{ prefix = \"10.0.0.0/8\", action = \"allow\" }]\n"),
              HasSubstr("10.0.0.0/8 is in the list twice"));
  EXPECT_THAT(config_error("[dataplane]\nacl_max = 1\n" + kListed),
              HasSubstr("would have 2 entries, and 1 are allowed"));
}

Registry loaded(const std::string& file, ReloadReport* report = nullptr,
                const Registry* before = nullptr) {
  Registry registry(small_limits());
  if (before != nullptr) registry.restore(before->overlay(), {});
  auto done = registry.load(file_of(file), 0);
  EXPECT_TRUE(done) << done.error().message;
  if (report != nullptr && done) *report = *done;
  return registry;
}
const Acl& acl_of(const Registry& registry) { return registry.services().at(kWeb).acl; }

TEST(AclRegistry, AddsReplacesAndRemoves) {
  Registry registry(small_limits());
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("10.0.0.0/8"), entry("11.0.0.0/8")}));
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("10.0.0.0/8", LB_ACL_ALLOW)}));
  EXPECT_EQ(acl_of(registry), Acl::of({entry("10.0.0.0/8", LB_ACL_ALLOW), entry("11.0.0.0/8")}));
  EXPECT_EQ(registry.acl_entries(), 2U);
  const auto revision = registry.revision();
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("11.0.0.0/8")}));
  EXPECT_EQ(registry.revision(), revision) << "it says so already";
  ASSERT_TRUE(registry.del_acl(kWeb, {prefix("10.0.0.0/8")}));
  EXPECT_EQ(acl_of(registry), Acl::of({entry("11.0.0.0/8")}));
  ASSERT_TRUE(registry.clear_acl(kWeb));
  EXPECT_TRUE(acl_of(registry).empty());
  EXPECT_EQ(registry.acl_entries(), 0U);
}

TEST(AclRegistry, RefusesWholeChanges) {
  auto limits = small_limits();
  limits.acl_max = 3;
  Registry registry(limits);
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  ASSERT_TRUE(registry.add_service(service_addr("192.0.2.10:81/tcp"), {}));
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("10.0.0.0/8"), entry("11.0.0.0/8")}));
  const Acl before = acl_of(registry);
  auto family = registry.add_acl(kWeb, {entry("12.0.0.0/8"), entry("::/0")});
  ASSERT_FALSE(family);
  EXPECT_EQ(http_status(family.error()), 400);
  auto full = registry.add_acl(kWeb, {entry("12.0.0.0/8"), entry("13.0.0.0/8")});
  ASSERT_FALSE(full);
  EXPECT_EQ(http_status(full.error()), 422);
  EXPECT_THAT(full.error().message, HasSubstr("raise acl_max in [dataplane]"));
  auto unknown = registry.del_acl(kWeb, {prefix("10.0.0.0/8"), prefix("10.1.0.0/16")});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(http_status(unknown.error()), 404);
  EXPECT_THAT(unknown.error().message,
              HasSubstr("has no entry 10.1.0.0/16 (10.0.0.0/8 decides for 10.1.0.0)"));
  EXPECT_FALSE(registry.add_acl(service_addr("192.0.2.10:82/tcp"), {entry("10.0.0.0/8")}));
  EXPECT_EQ(acl_of(registry), before);
  EXPECT_EQ(registry.acl_entries(), 2U);
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("10.0.0.0/8", 5, 5), entry("12.0.0.0/8")}))
      << "one of them is there already";
  ASSERT_TRUE(registry.del_service(kWeb));
  EXPECT_EQ(registry.acl_entries(), 0U);
}

TEST(AclRegistry, AServiceThatComesAgainHasNoList) {
  Registry registry(small_limits());
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("10.0.0.0/8")}));
  ASSERT_TRUE(registry.del_service(kWeb));
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  EXPECT_TRUE(acl_of(registry).empty());
}

TEST(AclOverlay, RunTimeChangesSurviveARestart) {
  auto registry = loaded(kListed);
  EXPECT_EQ(registry.overlay(), Overlay{}) << "as the file says";
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("12.0.0.0/8", 5, 5)}));
  ASSERT_TRUE(registry.del_acl(kWeb, {prefix("10.1.0.0/16")}));
  ReloadReport report;
  auto again = loaded(kListed, &report, &registry);
  EXPECT_EQ(acl_of(again), acl_of(registry));
  EXPECT_THAT(report.dropped, IsEmpty());
  ASSERT_TRUE(again.clear_acl(kWeb));
  EXPECT_TRUE(acl_of(loaded(kListed, nullptr, &again)).empty()) << "the file's list was removed";
}

TEST(AclOverlay, AServiceAddedAtRunTimeKeepsItsList) {
  auto registry = loaded("");
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("12.0.0.0/8")}));
  EXPECT_EQ(acl_of(loaded("", nullptr, &registry)), Acl::of({entry("12.0.0.0/8")}));
}

TEST(AclOverlay, AFileThatChangedWins) {
  auto registry = loaded(kListed);
  ASSERT_TRUE(registry.add_acl(kWeb, {entry("12.0.0.0/8")}));
  RsPatch heavy = rs_weight(9);
  ASSERT_TRUE(registry.add_rs(kWeb, kRs1, heavy));
  ReloadReport report;
  auto again = loaded(kService + "acl = [{ prefix = \"13.0.0.0/8\", action = \"deny\" }]\n",
                      &report, &registry);
  EXPECT_EQ(acl_of(again), Acl::of({entry("13.0.0.0/8")}));
  EXPECT_THAT(report.dropped, ElementsAre(HasSubstr("access list of 192.0.2.10:80/tcp")));
  EXPECT_TRUE(again.rs(kWeb, kRs1)) << "other changes of the service stay";
}

TEST(AclOverlay, AReloadFollowsTheFile) {
  auto registry = loaded(kService);
  auto report = registry.load(file_of(kListed), 1);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->changed, ElementsAre("access list of 192.0.2.10:80/tcp changed"));
  EXPECT_EQ(registry.acl_entries(), 2U);
  report = registry.load(file_of(kListed), 2);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->changed, IsEmpty());
}

TEST(AclRequests, OneActionForAllPrefixes) {
  auto request = parse_add_acl(R"({"prefixes": ["10.0.0.0/8", "::1"], "limit": 7})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->prefixes, (std::vector{prefix("10.0.0.0/8"), prefix("::1/128")}));
  EXPECT_EQ(request->rate, 7U);
  EXPECT_EQ(request->burst, 7U);
  auto error = [](const char* body) { return parse_add_acl(body).error().message; };
  EXPECT_THAT(error(R"({"action": "deny"})"), HasSubstr("prefixes: is missing"));
  EXPECT_THAT(error(R"({"prefixes": [], "action": "deny"})"), HasSubstr("prefixes: is empty"));
  EXPECT_THAT(error(R"({"prefixes": ["10.0.0.0/8"]})"), HasSubstr("action: is missing"));
  EXPECT_THAT(error(R"({"prefixes": [5], "action": "deny"})"), HasSubstr("an integer stands here"));
  EXPECT_THAT(error(R"({"prefixes": ["a","b","c","d","e","f","g"], "action": "deny"})"),
              HasSubstr("and 2 more like these"));
  EXPECT_FALSE(parse_del_acl(R"({"prefixes": ["10.0.0.0/8"], "action": "deny"})"));
}

constexpr const char* kPath = "/v1/services/192.168.1.222%3A80%2Ftcp/acl";

class AclApi : public ApiFixture {
 protected:
  void SetUp() override {
    ApiFixture::SetUp();
    good("POST", "/v1/services", R"({"address": "192.168.1.222:80/tcp"})");
    good("POST", "/v1/services", R"({"address": "[2001:db8:1::222]:80/tcp"})");
  }
  const Service& published() {
    for (const Service& service : world.dataplane.table->services()) {
      if (service.address.vip.is_v4()) return service;
    }
    std::abort();
  }
};

TEST_F(AclApi, AddsShowsAndRemoves) {
  auto answer =
      good("POST", kPath, R"({"prefixes": ["10.0.0.0/8", "10.0.0.0/8"], "action": "deny"})");
  EXPECT_EQ(answer.at("acl_entries_before").to_number<int>(), 0);
  EXPECT_EQ(answer.at("acl_entries").to_number<int>(), 1);
  good("POST", kPath, R"({"prefixes": ["10.1.0.0/16"], "limit": 5, "burst": 9})");
  EXPECT_EQ(published().acl.size(), 2U) << "the data plane has it";
  world.dataplane.acl_counts[prefix("10.0.0.0/8")] = {.packets = 7, .bytes = 700, .over = 0};
  world.dataplane.acl_counts[prefix("10.1.0.0/16")] = {.packets = 9, .bytes = 900, .over = 4};
  auto shown = good("GET", "/v1/acl");
  EXPECT_EQ(boost::json::serialize(shown.at("entries")),
            R"([{"service":"192.168.1.222:80/tcp","prefix":"10.0.0.0/8","action":"deny",)"
            R"("limit":null,"burst":null,"packets":7,"bytes":700,"passed":0,"dropped":7},)"
            R"({"service":"192.168.1.222:80/tcp","prefix":"10.1.0.0/16","action":"limit",)"
            R"("limit":5,"burst":9,"packets":9,"bytes":900,"passed":5,"dropped":4}])");
  EXPECT_EQ(shown.at("acl_entries").to_number<int>(), 2);
  auto service = good("GET", "/v1/services/192.168.1.222%3A80%2Ftcp");
  EXPECT_EQ(service.at("acl_entries").to_number<int>(), 2);
  good("POST", std::string(kPath) + "/remove", R"({"prefixes": ["10.1.0.0/16"]})");
  EXPECT_EQ(published().acl.size(), 1U);
  good("DELETE", kPath);
  EXPECT_TRUE(published().acl.empty());
}

TEST_F(AclApi, MatchTellsWhatDecides) {
  good("POST", kPath, R"({"prefixes": ["10.0.0.0/8", "10.1.0.0/16"], "action": "deny"})");
  auto prefixes = [&](const std::string& query) {
    std::vector<std::string> all;
    const auto answer = good("GET", "/v1/acl?" + query);
    for (const auto& row : answer.at("entries").as_array()) {
      all.emplace_back(row.at("prefix").as_string());
    }
    return all;
  };
  EXPECT_THAT(prefixes("match=10.1.2.3"), ElementsAre("10.1.0.0/16"));
  EXPECT_THAT(prefixes("match=10.2.2.3&service=192.168.1.222%3A80%2Ftcp"),
              ElementsAre("10.0.0.0/8"));
  EXPECT_THAT(prefixes("match=11.1.2.3"), IsEmpty());
  EXPECT_THAT(prefixes("limit=1"), ElementsAre("10.0.0.0/8"));
  EXPECT_EQ(good("GET", "/v1/acl?limit=1").at("total").to_number<int>(), 2);
  EXPECT_EQ(call("GET", "/v1/acl?match=::1&service=192.168.1.222%3A80%2Ftcp").status, 400);
  EXPECT_EQ(call("GET", "/v1/acl?service=192.168.1.9%3A80%2Ftcp").status, 404);
  EXPECT_EQ(call("GET", "/v1/acl?limit=0").status, 400);
  EXPECT_EQ(call("GET", "/v1/acl?prefix=1").status, 400);
}

TEST_F(AclApi, WhatTheDataPlaneRefusesChangesNothing) {
  good("POST", kPath, R"({"prefixes": ["10.0.0.0/8"], "action": "deny"})");
  const auto saved = world.controller.saved_revision();
  world.dataplane.refuse_next = Error{std::error_code(ENOMEM, std::system_category()),
                                      "the access list of 192.168.1.222:80/tcp: no memory"};
  auto refused = call("POST", kPath, R"({"prefixes": ["11.0.0.0/8"], "action": "deny"})");
  EXPECT_EQ(refused.status, 500);
  EXPECT_THAT(refused.body, HasSubstr("the access list of 192.168.1.222:80/tcp"));
  EXPECT_EQ(published().acl, Acl::of({entry("10.0.0.0/8")}));
  EXPECT_EQ(good("GET", "/v1/acl").at("total").to_number<int>(), 1);
  EXPECT_EQ(world.controller.saved_revision(), saved);
}

TEST_F(AclApi, AListTooLongForAFileIsNotSaved) {
  std::vector<AclEntry> entries;
  for (std::uint32_t i = 0; i < 100'001; ++i) {
    entries.push_back({.prefix = IpPrefix::of(IpAddr::v4(Be32::from_host(i)), 32)});
  }
  AddAclRequest request;
  for (const AclEntry& one : entries) request.prefixes.push_back(one.prefix);
  EXPECT_EQ(call("GET", "/v1/config").status, 200);
  ASSERT_TRUE(world.controller.add_acl(*ServiceAddr::parse("192.168.1.222:80/tcp"), request));
  auto answer = call("GET", "/v1/config");
  EXPECT_EQ(answer.status, 422);
  EXPECT_THAT(answer.body, HasSubstr("100001 entries"));
}

}  // namespace
}  // namespace lb
