// SPDX-License-Identifier: Apache-2.0
// ApiRouter: every call of docs/api.md, and every error, over a FakeDataplane.
#include "control/api_router.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>

#include "dataplane/base/clock.h"
#include "tests/unit/control/api_fixture.h"

namespace lb {
namespace {

constexpr const char* kWeb = "/v1/services/192.168.1.222%3A80%2Ftcp";

class ApiRouterTest : public ApiFixture {
 protected:
  ApiRouterTest() : ApiFixture(path()) {}
  void TearDown() override { std::filesystem::remove(path()); }
  /// The answer is an error of this status and code; returns its message.
  std::string bad(int status, const std::string& code, const std::string& method,
                  const std::string& target, const std::string& body = {}) {
    ApiResponse answer = call(method, target, body);
    EXPECT_EQ(answer.status, status)
        << method << " " << target << " " << body << ": " << answer.body;
    boost::json::value value = boost::json::parse(answer.body);
    const auto& error = value.at("error");
    EXPECT_EQ(error.at("code").as_string(), code) << answer.body;
    return std::string(error.at("message").as_string());
  }
  void add_web() {
    good("POST", "/v1/services", R"({"address": "192.168.1.222:80/tcp"})");
    good("POST", std::string(kWeb) + "/real-servers",
         R"({"address": "192.168.1.54", "weight": 3})");
  }
  static std::string path() {
    return (std::filesystem::temp_directory_path() /
            ("lbd-api-" + std::to_string(::getpid()) + ".toml"))
        .string();
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(ApiRouterTest, VersionSaysWhoAnswers) {
  auto version = good("GET", "/v1/version");
  EXPECT_EQ(version.at("pid").to_number<int>(), ::getpid());
  EXPECT_EQ(version.at("generation").to_number<int>(), 1);
  EXPECT_EQ(version.at("config").as_string(), path());
}

TEST_F(ApiRouterTest, AddsShowsSetsAndDeletesAService) {
  auto added = good("POST", "/v1/services",
                    R"({"address": "192.168.1.222:80/tcp", "name": "web", "scheduler": "mh"})");
  EXPECT_EQ(added.at("scheduler").as_string(), "mh");
  EXPECT_EQ(added.at("origin").as_string(), "runtime");
  EXPECT_EQ(good("GET", kWeb).at("name").as_string(), "web");
  EXPECT_EQ(good("GET", "/v1/services").at("services").as_array().size(), 1U);
  EXPECT_EQ(good("PATCH", kWeb, R"({"scheduler": "wlc"})").at("scheduler").as_string(), "wlc");
  EXPECT_EQ(call("DELETE", kWeb).body, "{}");
  EXPECT_EQ(good("GET", "/v1/services").at("services").as_array().size(), 0U);
}

TEST_F(ApiRouterTest, AddsSetsDrainsAndDeletesARealServer) {
  add_web();
  std::string rs = std::string(kWeb) + "/real-servers/192.168.1.54";
  EXPECT_EQ(good("PATCH", rs, R"({"weight": 7})").at("weight").to_number<int>(), 7);
  EXPECT_EQ(good("PATCH", rs, R"({"state": "down"})").at("state").as_string(), "down");
  EXPECT_TRUE(good("POST", rs + "/drain", R"({"timeout_ms": 60000})").at("draining").as_bool());
  EXPECT_TRUE(good("POST", rs + "/drain").at("draining").as_bool());
  good("DELETE", rs);
  bad(404, "no_such_real_server", "DELETE", rs);
}

TEST_F(ApiRouterTest, TakesAnIpv6ServiceAndRealServerInThePath) {
  good("POST", "/v1/services", R"({"address": "[2001:db8:1::10]:443/tcp"})");
  std::string service = "/v1/services/%5B2001%3Adb8%3A1%3A%3A10%5D%3A443%2Ftcp";
  good("POST", service + "/real-servers", R"({"address": "2001:db8:1::54"})");
  auto rs = good("PATCH", service + "/real-servers/2001%3Adb8%3A1%3A%3A54", R"({"weight": 2})");
  EXPECT_EQ(rs.at("address").as_string(), "2001:db8:1::54");
}

TEST_F(ApiRouterTest, RefusesWhatExistsOrClashesAndChangesNothing) {
  add_web();
  Generation before = world.dataplane.generation;
  bad(409, "exists", "POST", "/v1/services", R"({"address": "192.168.1.222:80/tcp"})");
  bad(409, "exists", "POST", std::string(kWeb) + "/real-servers", R"({"address": "192.168.1.54"})");
  bad(400, "bad_request", "POST", std::string(kWeb) + "/real-servers",
      R"({"address": "192.168.1.222"})");
  EXPECT_EQ(world.dataplane.generation, before);
}

TEST_F(ApiRouterTest, RefusesAnRsOnNoAttachedNetworkNamingTheNetworks) {
  add_web();
  std::string message = bad(422, "not_on_link", "POST", std::string(kWeb) + "/real-servers",
                            R"({"address": "203.0.113.7"})");
  EXPECT_TRUE(has(message, "192.168.1.0/24")) << message;
  good("POST", std::string(kWeb) + "/real-servers",
       R"({"address": "203.0.113.7", "mac": "02:00:00:00:00:07"})");
}

TEST_F(ApiRouterTest, RefusesMalformedBodiesNamingTheKey) {
  add_web();
  std::string rs = std::string(kWeb) + "/real-servers/192.168.1.54";
  EXPECT_TRUE(
      has(bad(400, "bad_request", "POST", "/v1/services", R"({"adress": "192.0.2.1:80/tcp"})"),
          "adress"));
  EXPECT_TRUE(has(bad(400, "bad_request", "PATCH", rs, R"({"weight": 70000})"), "weight"));
  EXPECT_TRUE(has(bad(400, "bad_request", "PATCH", rs, R"({"weight": "3"})"), "weight"));
  EXPECT_TRUE(has(bad(400, "bad_request", "PATCH", kWeb, R"({"scheduler": "best"})"), "scheduler"));
  bad(400, "bad_request", "POST", "/v1/services", "{");
  bad(400, "bad_request", "POST", "/v1/services", "");
  bad(400, "bad_request", "POST", "/v1/services", "[1,2]");
  bad(400, "bad_request", "POST", "/v1/services", R"({"address": "192.0.2.1"})");
  bad(400, "bad_request", "POST", "/v1/panic", "{}");
  bad(400, "bad_request", "POST", rs + "/drain", R"({"timeout_ms": -1})");
}

TEST_F(ApiRouterTest, RefusesUnknownServicesPathsAndMethods) {
  bad(404, "no_such_service", "GET", kWeb);
  bad(404, "no_such_service", "POST", std::string(kWeb) + "/real-servers",
      R"({"address": "192.168.1.54"})");
  bad(404, "no_such_path", "GET", "/");
  bad(404, "no_such_path", "GET", "/v1/service");
  bad(404, "no_such_path", "GET", "/v1/services/");
  bad(404, "no_such_path", "GET", "/v2/services");
  bad(404, "no_such_path", "GET", "/v1/a/b/c/d/e/f/g/h/i/j/k");
  bad(400, "bad_request", "GET", "/v1/services/%");
  bad(400, "bad_request", "GET", "/v1/services/%4");
  bad(400, "bad_request", "GET", "/v1/services/%zz");
  bad(400, "bad_request", "GET", "/v1/services/nonsense");
  EXPECT_TRUE(has(bad(405, "method_not_allowed", "PUT", "/v1/services"), "GET, POST"));
  bad(405, "method_not_allowed", "POST", "/v1/version");
  bad(405, "method_not_allowed", "HEAD", "/v1/version");
}

TEST_F(ApiRouterTest, AFullTableIs422AndChangesNothing) {
  add_web();
  world.dataplane.refuse_next =
      Error{std::error_code(E2BIG, std::system_category()), "the VIP map is full"};
  EXPECT_TRUE(
      has(bad(422, "table_full", "POST", "/v1/services", R"({"address": "192.0.2.1:80/tcp"})"),
          "full"));
  world.dataplane.refuse_next = Error{std::error_code(EIO, std::system_category()), "no"};
  bad(500, "system", "DELETE", kWeb);
  EXPECT_EQ(good("GET", "/v1/services").at("services").as_array().size(), 1U);
}

TEST_F(ApiRouterTest, FlowsAreFilteredAndCounted) {
  add_web();
  ServiceAddr web = *ServiceAddr::parse("192.168.1.222:80/tcp");
  auto service = world.controller.registry().service(web);
  auto rs = world.controller.registry().rs(web, *IpAddr::parse("192.168.1.54"));
  for (std::uint16_t i = 0; i < 5; ++i) {
    FlowInfo flow;
    flow.client = *IpAddr::parse("198.51.100." + std::to_string(i + 1));
    flow.client_port = static_cast<std::uint16_t>(40000 + i);
    flow.vip = web.vip;
    flow.vip_port = 80;
    flow.data = {.rs = (*rs)->id,
                 .service = (*service)->id,
                 .last_seen = tick_ms_now() - 1000,
                 .state = FlowState::Established};
    world.dataplane.flow_infos.push_back(flow);
  }
  auto all = good("GET", "/v1/flows");
  EXPECT_EQ(all.at("total").to_number<int>(), 5);
  const auto& row = all.at("flows").as_array().at(0);
  EXPECT_EQ(row.at("real_server").as_string(), "192.168.1.54");
  EXPECT_EQ(row.at("client").as_string(), "198.51.100.1:40000");
  EXPECT_NEAR(row.at("expires_ms").to_number<double>(), 899'000, 500);
  auto two = good("GET", "/v1/flows?limit=2&service=&client=");
  EXPECT_EQ(two.at("shown").to_number<int>(), 2);
  EXPECT_EQ(two.at("total").to_number<int>(), 5);
  EXPECT_EQ(good("GET", "/v1/flows?client=198.51.100.3").at("total").to_number<int>(), 1);
  EXPECT_EQ(good("GET", "/v1/flows?rs=192.168.1.54").at("total").to_number<int>(), 5);
  EXPECT_EQ(good("GET", "/v1/flows?rs=192.168.1.55").at("total").to_number<int>(), 0);
  EXPECT_EQ(good("GET", "/v1/flows?service=192.168.1.222%3A80%2Ftcp").at("total").to_number<int>(),
            5);
  for (const char* query : {"limit=0", "limit=x", "limit=1000000", "rs=nobody", "service=1",
                            "colour=red", "limit=1&limit=2", "a=%f"}) {
    bad(400, "bad_request", "GET", std::string("/v1/flows?") + query);
  }
}

TEST_F(ApiRouterTest, TheOtherViewsAnswer) {
  add_web();
  EXPECT_EQ(good("GET", "/v1/ports").at("ports").as_array().size(), 2U);
  EXPECT_EQ(good("GET", "/v1/workers").at("workers").as_array().size(), 1U);
  EXPECT_EQ(good("GET", "/v1/drops").at("drops").as_array().size(), kDropReasons);
  EXPECT_TRUE(good("GET", "/v1/bpf").at("objects").is_array());
  EXPECT_EQ(good("GET", "/v1/stats").at("services").as_array().size(), 1U);
  EXPECT_GT(good("GET", "/v1/memory").at("total_bytes").to_number<double>(), 0);
  auto neighbours = good("GET", "/v1/neighbours").at("neighbours").as_array();
  ASSERT_EQ(neighbours.size(), 1U);
  EXPECT_EQ(neighbours.at(0).at("interface").as_string(), "eth0");
  EXPECT_TRUE(neighbours.at(0).at("mac").is_null());
}

TEST_F(ApiRouterTest, AServiceThatRemembersEveryFlowHasAFewSlots) {
  add_web();
  auto slots = good("GET", std::string(kWeb) + "/slots");
  EXPECT_EQ(slots.at("service").as_string(), "192.168.1.222:80/tcp");
  EXPECT_EQ(slots.at("slots").to_number<int>(), 1021);
  EXPECT_EQ(slots.at("window_s").to_number<int>(), 900);
  EXPECT_TRUE(slots.at("next_deadline_s").is_null());
  EXPECT_FALSE(slots.at("real_servers").as_array().empty());
  bad(404, "no_such_service", "GET", "/v1/services/192.168.1.222%3A81%2Ftcp/slots");
  bad(400, "bad_request", "GET", "/v1/services/x/slots");
  bad(405, "method_not_allowed", "POST", std::string(kWeb) + "/slots");
}

TEST_F(ApiRouterTest, HandoversAreTheSumOfThePorts) {
  auto ttl = static_cast<std::size_t>(HandReason::Ttl);
  for (PortInfo& port : world.dataplane.port_infos) {
    port.handed[ttl] = port.xdp_handed = 3;
    port.xdp_sent = 10;
    port.xdp_forwarded = 20;
    port.xdp_alone = 1;
  }
  auto answer = good("GET", "/v1/handovers");
  ASSERT_EQ(answer.at("handovers").as_array().size(), kHandReasons);
  const auto& row = answer.at("handovers").at(ttl);
  EXPECT_EQ(row.at("reason").as_string(), "ttl");
  EXPECT_FALSE(row.at("help").as_string().empty());
  EXPECT_EQ(row.at("packets").to_number<int>(), 6);
  EXPECT_EQ(answer.at("handed").to_number<int>(), 6);
  EXPECT_EQ(answer.at("sent").to_number<int>(), 20);
  EXPECT_EQ(answer.at("forwarded").to_number<int>(), 40);
  EXPECT_EQ(answer.at("alone").to_number<int>(), 2);
}

TEST_F(ApiRouterTest, ANeighbourIsShownResolvedOrManual) {
  add_web();
  world.resolve("192.168.1.54", MacAddr{{2, 0, 0, 0, 0, 0x54}});
  good("POST", std::string(kWeb) + "/real-servers",
       R"({"address": "192.168.1.55", "mac": "02:00:00:00:00:55"})");
  auto rows = good("GET", "/v1/neighbours").at("neighbours").as_array();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows.at(0).at("state").as_string(), "reachable");
  EXPECT_EQ(rows.at(0).at("mac").as_string(), "02:00:00:00:00:54");
  EXPECT_EQ(rows.at(1).at("state").as_string(), "manual");
  EXPECT_TRUE(rows.at(1).at("manual").as_bool());
}

TEST_F(ApiRouterTest, ConfigIsTheRunningStateAndPassesTheCheck) {
  add_web();
  ApiResponse config = call("GET", "/v1/config");
  EXPECT_EQ(config.status, 200);
  EXPECT_TRUE(config.content_type.starts_with("text/plain"));
  auto checked = good("POST", "/v1/check", config.body);
  EXPECT_EQ(checked.at("services").to_number<int>(), 1);
  EXPECT_EQ(checked.at("real_servers").to_number<int>(), 1);
  bad(422, "bad_config", "POST", "/v1/check", "[[port]]\ninterfaces = \"eth0\"\n");
}

TEST_F(ApiRouterTest, ReloadReadsTheFileAgain) {
  std::ofstream(path()) << ControlWorld::kTwoPorts
                        << "[[service]]\naddress = \"192.0.2.7:53/udp\"\n";
  EXPECT_FALSE(good("POST", "/v1/reload").at("unchanged").as_bool());
  EXPECT_TRUE(good("POST", "/v1/reload").at("unchanged").as_bool());
  std::ofstream(path()) << "nonsense";
  EXPECT_TRUE(has(bad(422, "bad_config", "POST", "/v1/reload"), path()));
  EXPECT_EQ(good("GET", "/v1/services").at("services").as_array().size(), 1U);
}

TEST_F(ApiRouterTest, PanicGoesOnAndOff) {
  EXPECT_FALSE(good("GET", "/v1/panic").at("on").as_bool());
  EXPECT_TRUE(good("POST", "/v1/panic", R"({"on": true})").at("on").as_bool());
  EXPECT_TRUE(world.dataplane.panic_on);
  good("POST", "/v1/panic", R"({"on": false})");
  EXPECT_FALSE(world.dataplane.panic_on);
}

TEST_F(ApiRouterTest, ExplainsAPacket) {
  add_web();
  const ServiceTable& table = *world.dataplane.table;
  world.dataplane.explanation = [&](const ExplainRequest&) {
    Explanation e;
    e.handed = HandReason::New;
    e.generation = static_cast<Generation>(7);
    e.trace.steps = LB_TRACE_SERVICE;
    e.worker.service = table.services().data();
    e.worker.rs = table.real_servers().data();
    e.worker.verdict = ExplainVerdict::Forward;
    e.worker.remembers = true;
    return e;
  };
  auto answer = good("GET",
                     "/v1/explain?client=198.51.100.7%3A51234&vip=192.168.1.222%3A80%2Ftcp&"
                     "flags=syn%2Cack&ttl=9&length=60&vlan=5&port=eth1&queue=0");
  const ExplainRequest& asked = world.dataplane.explained.back();
  EXPECT_EQ(raw(asked.port), 1);
  EXPECT_EQ(asked.client_port, 51234);
  EXPECT_EQ(asked.tcp_flags, 18);
  EXPECT_EQ(asked.ttl, 9);
  EXPECT_EQ(asked.ip_bytes, 60U);
  EXPECT_EQ(asked.vlan, 5);
  EXPECT_EQ(answer.at("packet").at("flags").as_string(), "syn,ack");
  EXPECT_EQ(answer.at("service").as_string(), "192.168.1.222:80/tcp");
  EXPECT_EQ(answer.at("generation").to_number<int>(), 7);
  EXPECT_EQ(answer.at("decided_by").as_string(), "worker");
  EXPECT_EQ(answer.at("handover").as_string(), "new");
  EXPECT_EQ(answer.at("verdict").as_string(), "forward");
  EXPECT_EQ(answer.at("real_server").as_string(), "192.168.1.54");
  EXPECT_TRUE(answer.at("reason").is_null());
  EXPECT_TRUE(answer.at("remembers").as_bool());
  EXPECT_GE(answer.at("steps").as_array().size(), 4U);
}

TEST_F(ApiRouterTest, ExplainRefusesWhatIsNoPacket) {
  auto refused = [&](const std::string& query) {
    return bad(400, "bad_request", "GET", "/v1/explain?" + query);
  };
  const std::string client = "client=198.51.100.7:51234";
  const std::string both = client + "&vip=192.0.2.10:80/tcp";
  EXPECT_TRUE(has(refused(client), "vip=ADDRESS:PORT/PROTO"));
  EXPECT_TRUE(has(refused("client=198.51.100.7&vip=192.0.2.10:80/tcp"), "no ADDRESS:PORT"));
  EXPECT_TRUE(has(refused(client + "&vip=192.0.2.10:any/tcp"), "one port"));
  EXPECT_TRUE(has(refused(client + "&vip=[2001:db8::1]:80/tcp"), "two address families"));
  EXPECT_TRUE(has(refused(both + "&flags=sin"), "no TCP flag \"sin\""));
  EXPECT_TRUE(has(refused(client + "&vip=192.0.2.10:53/udp&flags=syn"), "only TCP"));
  EXPECT_TRUE(has(refused(both + "&port=eth9"), "it has eth0, eth1"));
  EXPECT_TRUE(has(refused(both + "&queue=64"), "queue: \"64\""));
  EXPECT_TRUE(has(refused(both + "&ttl=256"), "from 0 to 255"));
  EXPECT_TRUE(has(refused(both + "&length=39"), "from 40 to"));
  EXPECT_TRUE(has(refused(both + "&vlan=4095"), "from 1 to 4094"));
  EXPECT_TRUE(has(refused(both + "&colour=red"), "has no \"colour\""));
  EXPECT_TRUE(world.dataplane.explained.empty());
}

}  // namespace
}  // namespace lb
