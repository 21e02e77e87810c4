// SPDX-License-Identifier: Apache-2.0
// lbctl against a fake lbd: what it asks, what it prints, its exit status.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/client/fake_lbd.h"

namespace lb::client {
namespace {

using ::testing::HasSubstr;

constexpr const char* kServicePath = "/v1/services/192.0.2.10%3A80%2Ftcp";
constexpr const char* kRsPath = "/v1/services/192.0.2.10%3A80%2Ftcp/real-servers/192.0.2.21";
constexpr const char* kRefusal =
    R"({"error":{"code":"exists","message":"service 192.0.2.10:80/tcp exists already"}})";

TEST(Lbctl, AddVipPostsTheSettingsGivenAndNoOthers) {
  FakeLbd lbd;
  lbd.answer("POST /v1/services", R"({"address":"192.0.2.10:80/tcp","scheduler":"mh"})");
  auto ran = run_lbctl(lbd.socket(), {"add-vip", "192.0.2.10:80/tcp", "--scheduler", "mh", "--name",
                                      "web", "--health", "tcp", "--health-interval", "2s",
                                      "--sorry", "192.0.2.99", "--timeout", "established=15m"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("added 192.0.2.10:80/tcp: scheduler mh"));
  ASSERT_EQ(lbd.seen().size(), 1U);
  EXPECT_EQ(lbd.seen()[0].body,
            R"({"name":"web","scheduler":"mh","sorry":{"address":"192.0.2.99"},)"
            R"("health":{"type":"tcp","interval_ms":2000},)"
            R"("timeouts":{"established_ms":900000},"address":"192.0.2.10:80/tcp"})");
  EXPECT_THAT(lbd.seen()[0].head, HasSubstr("Content-Type: application/json"));
}

TEST(Lbctl, SetVipSaysWhatOfTheFlowsIsRemembered) {
  FakeLbd lbd;
  lbd.answer(std::string("PATCH ") + kServicePath, R"({"address":"192.0.2.10:80/tcp"})");
  auto ran = run_lbctl(lbd.socket(), {"set-vip", "192.0.2.10:80/tcp", "--transition", "1h30m",
                                      "--affinity", "always", "--flow-rate", "0"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  ASSERT_EQ(lbd.seen().size(), 1U);
  EXPECT_EQ(lbd.seen()[0].body, R"({"transition_ms":5400000,"affinity":"always","flow_rate":0})");
}

TEST(Lbctl, ARefusalIsOneLineAndStatusOne) {
  FakeLbd lbd;
  lbd.answer("POST /v1/services", kRefusal, 409);
  auto ran = run_lbctl(lbd.socket(), {"add-vip", "192.0.2.10:80/tcp"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err, "lbctl: service 192.0.2.10:80/tcp exists already\n");
}

TEST(Lbctl, JsonPrintsTheAnswerAsItIsAndErrorsAsObjects) {
  FakeLbd lbd;
  std::string answer = R"({"services" : [ ]})";
  lbd.answer("GET /v1/services", answer);
  lbd.answer("POST /v1/services", kRefusal, 409);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"--json", "show", "vips"}).out, answer + "\n");
  EXPECT_EQ(run_lbctl(lbd.socket(), {"show", "vips", "--json"}).out, answer + "\n");
  auto refused = run_lbctl(lbd.socket(), {"--json", "add-vip", "192.0.2.10:80/tcp"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.out, std::string(kRefusal) + "\n");
  EXPECT_EQ(refused.err, "");
}

TEST(Lbctl, RealServerCommandsEncodeBothAddresses) {
  FakeLbd lbd;
  std::string path = "/v1/services/%5B2001%3Adb8%3A%3A1%5D%3A443%2Ftcp/real-servers";
  std::string rs = R"({"address":"2001:db8::5","weight":3})";
  lbd.answer("POST " + path, rs);
  lbd.answer("PATCH " + path + "/2001%3Adb8%3A%3A5", rs);
  EXPECT_EQ(
      run_lbctl(lbd.socket(), {"add-rs", "[2001:db8::1]:443/tcp", "2001:db8::5", "-w", "3"}).code,
      0);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"set-rs", "[2001:db8::1]:443/tcp", "2001:db8::5", "--mac",
                                     "auto", "--state", "down"})
                .code,
            0);
  ASSERT_EQ(lbd.seen().size(), 2U);
  EXPECT_EQ(lbd.seen()[0].body, R"({"weight":3,"address":"2001:db8::5"})");
  EXPECT_EQ(lbd.seen()[1].body, R"({"mac":null,"state":"down"})");
}

TEST(Lbctl, AddRsTellsWhyItGetsNoNewFlowsYet) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kServicePath + "/real-servers",
             R"({"address":"192.0.2.21","weight":1,"reason":"its MAC is not known yet"})");
  auto ran = run_lbctl(lbd.socket(), {"add-rs", "192.0.2.10:80/tcp", "192.0.2.21"});
  EXPECT_THAT(ran.out, HasSubstr("(no new flows: its MAC is not known yet)"));
}

TEST(Lbctl, DeletingTellsHowManyFlowsWereCut) {
  FakeLbd lbd;
  lbd.answer(std::string("GET ") + kServicePath,
             R"({"real_servers":[{"address":"192.0.2.21","active":2,"inactive":1},
                                 {"address":"192.0.2.22","active":5}]})");
  lbd.answer(std::string("DELETE ") + kServicePath, "{}");
  lbd.answer(std::string("DELETE ") + kRsPath, "{}");
  EXPECT_THAT(run_lbctl(lbd.socket(), {"del-vip", "192.0.2.10:80/tcp"}).out, HasSubstr("8 flows"));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"del-rs", "192.0.2.10:80/tcp", "192.0.2.21"}).out,
              HasSubstr("3 flows"));
}

TEST(Lbctl, UsageMistakesAreStatusTwoAndSuggest) {
  TempDir dir;
  auto expect_usage = [&](std::vector<std::string> arguments, const std::string& part) {
    auto ran = run_lbctl(dir.file("none"), std::move(arguments));
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.err, HasSubstr(part));
  };
  expect_usage({}, "needs a command");
  expect_usage({"shwo"}, "did you mean show?");
  expect_usage({"show", "flos"}, "did you mean flows?");
  expect_usage({"add-vip", "x", "--schedular", "rr"}, "did you mean --scheduler?");
  expect_usage({"add-vip"}, "address is required");
  expect_usage({"add-rs", "x", "y", "--weight", "abc"}, "--weight");
  expect_usage({"del-vip", "x", "y"}, "no further argument \"y\"");
  expect_usage({"set-vip", "192.0.2.10:80/tcp"}, "nothing to change");
  expect_usage({"set-rs", "a", "b", "--state", "sideways"}, "--state");
  expect_usage({"drain-rs", "a", "b", "--timeout", "5"}, "unit");
  expect_usage({"add-vip", "x", "--timeout", "fin"}, "NAME=DURATION");
  expect_usage({"add-vip", "x", "--transition", "900"}, "--transition");
  expect_usage({"add-vip", "x", "--flow-rate", "-5"}, "is negative");
  expect_usage({"add-vip", "x", "--afinity", "none"}, "did you mean --affinity?");
  expect_usage({"add-vip", "x", "--sorry-vlan", "5"}, "--sorry ADDRESS");
  expect_usage({"stats", "--watch", "0"}, "0.1 to 3600");
}

TEST(Lbctl, HelpOfEveryCommandHasAnExample) {
  TempDir dir;
  for (const char* command :
       {"add-vip", "set-vip", "del-vip", "add-rs", "set-rs", "drain-rs", "del-rs", "show", "stats",
        "check-health", "save", "check", "reload", "panic", "reset", "rs-setup"}) {
    auto ran = run_lbctl(dir.file("none"), {command, "--help"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.out, HasSubstr("Example")) << command;
  }
}

TEST(Lbctl, ShowsSlotsAndHandovers) {
  FakeLbd lbd;
  std::string slots = R"({"service":"192.0.2.10:80/tcp","hashed":true,"slots":7,"real_servers":[
    {"address":"192.0.2.21","slots":7,"percent":1E2}]})";
  lbd.answer(std::string("GET ") + kServicePath + "/slots", slots);
  lbd.answer("GET /v1/handovers",
             R"({"handovers":[{"reason":"new","packets":0},{"reason":"ttl","packets":2}]})");
  EXPECT_THAT(run_lbctl(lbd.socket(), {"show", "slots", "192.0.2.10:80/tcp"}).out,
              HasSubstr("192.0.2.21        -      7  100.00%"));
  EXPECT_EQ(run_lbctl(lbd.socket(), {"show", "slots", "192.0.2.10:80/tcp", "--json"}).out,
            slots + "\n");
  auto some = run_lbctl(lbd.socket(), {"show", "handovers"});
  EXPECT_THAT(some.out, HasSubstr("ttl"));
  EXPECT_THAT(some.out, ::testing::Not(HasSubstr("new")));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"show", "handovers", "-a"}).out, HasSubstr("new"));
  auto missing = run_lbctl(lbd.socket(), {"show", "slots"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err, HasSubstr("service is required"));
}

TEST(Lbctl, SaysHowToStartLbdWhenNoneRuns) {
  TempDir dir;
  auto ran = run_lbctl(dir.file("lbd.sock"), {"show", "vips"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, HasSubstr("lbd is not running"));
  EXPECT_THAT(ran.err, HasSubstr("systemctl start lbd"));
  auto json = run_lbctl(dir.file("lbd.sock"), {"--json", "show", "vips"});
  EXPECT_THAT(json.out, HasSubstr(R"({"error":{"code":"not_running",)"));
  auto version = run_lbctl(dir.file("lbd.sock"), {"version"});
  EXPECT_EQ(version.code, 3) << "half of the answer is missing";
  EXPECT_THAT(version.out, HasSubstr("lbctl  0."));
}

TEST(Lbctl, AnswersThatAreNotHttpOrNotJsonAreSaidSo) {
  FakeLbd lbd;
  lbd.answer_raw("GET /v1/ports", "SSH-2.0-OpenSSH\r\n\r\n");
  lbd.answer_raw("GET /v1/drops", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
  lbd.answer("GET /v1/bpf", "[1,");
  lbd.answer("GET /v1/memory", "", 500);
  EXPECT_THAT(run_lbctl(lbd.socket(), {"show", "ports"}).err, HasSubstr("is not lbd"));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"show", "drops"}).err,
              HasSubstr("before its answer was whole"));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"show", "bpf"}).err, HasSubstr("not JSON"));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"show", "memory"}).err, HasSubstr("status 500"));
}

TEST(Lbctl, DrainWaitsUntilTheRealServerIsGone) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kRsPath + "/drain",
             R"({"address":"192.0.2.21","draining":true,"drain_left_ms":300000,"active":2})");
  auto service = std::string("GET ") + kServicePath;
  lbd.answer(
      service,
      R"({"real_servers":[{"address":"192.0.2.21","draining":true,"drain_left_ms":299000,"active":1}]})");
  lbd.answer(service, R"({"real_servers":[]})");
  auto ran = run_lbctl(lbd.socket(), {"drain-rs", "192.0.2.10:80/tcp", "192.0.2.21", "--wait"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(lbd.seen()[0].body, R"({"timeout_ms":300000})");
  EXPECT_THAT(ran.err, HasSubstr("2 active and 0 closing flows left, removed in 5m at the latest"));
  EXPECT_THAT(ran.err, HasSubstr("1 active"));
  EXPECT_THAT(ran.out, HasSubstr("its last flow has ended"));
}

TEST(Lbctl, DrainThatCutFlowsIsPartlyDone) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kRsPath + "/drain",
             R"({"address":"192.0.2.21","draining":true})");
  auto service = std::string("GET ") + kServicePath;
  lbd.answer(
      service,
      R"({"real_servers":[{"address":"192.0.2.21","draining":true,"drain_left_ms":0,"active":4,"inactive":1}]})");
  lbd.answer(service, R"({"real_servers":[]})");
  auto ran = run_lbctl(lbd.socket(), {"drain-rs", "192.0.2.10:80/tcp", "192.0.2.21", "--wait"});
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.out,
              HasSubstr("at the timeout of 5m, with 4 flows still active and 1 flow closing"));
}

TEST(Lbctl, DrainThatLeftClosingFlowsAloneIsDone) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kRsPath + "/drain",
             R"({"address":"192.0.2.21","draining":true})");
  auto service = std::string("GET ") + kServicePath;
  lbd.answer(service, R"({"real_servers":[{"address":"192.0.2.21","draining":true,)"
                      R"("drain_left_ms":0,"active":0,"inactive":7}]})");
  lbd.answer(service, R"({"real_servers":[]})");
  auto ran = run_lbctl(lbd.socket(), {"drain-rs", "192.0.2.10:80/tcp", "192.0.2.21", "--wait"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.out, HasSubstr("0 flows still active and 7 flows closing"));
}

TEST(Lbctl, DrainTakenBackIsAFailure) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kRsPath + "/drain",
             R"({"address":"192.0.2.21","draining":true})");
  lbd.answer(std::string("GET ") + kServicePath,
             R"({"real_servers":[{"address":"192.0.2.21","draining":false}]})");
  auto ran = run_lbctl(lbd.socket(), {"drain-rs", "192.0.2.10:80/tcp", "192.0.2.21", "--wait"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, HasSubstr("no longer being drained"));
}

TEST(Lbctl, SaveWritesTheFileWholeAndReplacesAnOldOne) {
  FakeLbd lbd;
  lbd.answer("GET /v1/config", "[control]\n");
  EXPECT_EQ(run_lbctl(lbd.socket(), {"save"}).out, "[control]\n");
  auto file = lbd.dir().file("saved.toml");
  std::ofstream(file) << "something longer that was there before\n";
  auto ran = run_lbctl(lbd.socket(), {"save", file});
  EXPECT_EQ(ran.code, 0) << ran.err;
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_EQ(text.str(), "[control]\n");
  auto refused = run_lbctl(lbd.socket(), {"save", lbd.dir().file("no/such/dir")});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("cannot write"));
}

TEST(Lbctl, CheckSendsTheFileAndNamesTheWayWithoutLbd) {
  FakeLbd lbd;
  lbd.answer("POST /v1/check",
             R"({"ok":true,"services":1,"real_servers":3,"memory_bytes":67108864})");
  auto file = lbd.dir().file("lbd.toml");
  std::ofstream(file) << "[control]\n";
  EXPECT_THAT(run_lbctl(lbd.socket(), {"check", file}).out,
              HasSubstr("is good: 1 service, 3 real servers, 64.0 MiB"));
  EXPECT_EQ(lbd.seen()[0].body, "[control]\n");
  auto alone = run_lbctl(lbd.dir().file("none"), {"check", file});
  EXPECT_EQ(alone.code, 1);
  EXPECT_THAT(alone.err, HasSubstr("lbd --check --config " + file));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"check", lbd.dir().file("absent")}).err,
              HasSubstr("cannot read"));
}

TEST(Lbctl, CheckNamesTheFileInEachLineOfARefusal) {
  FakeLbd lbd;
  lbd.answer("POST /v1/check",
             R"({"error":{"code":"bad_config","message":"config:1:2: a\nconfig:3:4: b"}})", 422);
  auto file = lbd.dir().file("lbd.toml");
  std::ofstream(file) << "x\n";
  EXPECT_EQ(run_lbctl(lbd.socket(), {"check", file}).err,
            "lbctl: " + file + ":1:2: a\n" + file + ":3:4: b\n");
}

TEST(Lbctl, CheckRefusesFilesOverOneMebibyteItself) {
  FakeLbd lbd;
  auto file = lbd.dir().file("big.toml");
  std::ofstream(file) << std::string((1U << 20) + 1, '#');
  auto ran = run_lbctl(lbd.socket(), {"check", file});
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, HasSubstr("larger than 1 MiB"));
  EXPECT_TRUE(lbd.seen().empty());
}

TEST(Lbctl, CheckHealthIsStatusFourWhenAServiceHasNoRealServer) {
  FakeLbd lbd;
  lbd.answer("GET /v1/services",
             R"({"services":[{"address":"192.0.2.10:80/tcp","real_servers":[{"reason":""}]},
                             {"address":"192.0.2.10:81/tcp","real_servers":[{"reason":"down"}]}]})");
  lbd.answer(std::string("GET ") + kServicePath,
             R"({"address":"192.0.2.10:80/tcp","real_servers":[{"reason":""},{"reason":"down"}]})");
  lbd.answer("GET /v1/ports", R"({"ports":[{"interface":"eth0","problem":""}]})");
  lbd.answer("GET /v1/workers", R"({"workers":[{"worker":0,"last_step_ms":100}]})");
  auto all = run_lbctl(lbd.socket(), {"check-health"});
  EXPECT_EQ(all.code, 4);
  EXPECT_THAT(all.out, HasSubstr("192.0.2.10:81/tcp  DOWN  0/1"));
  EXPECT_EQ(run_lbctl(lbd.socket(), {"check-health", "192.0.2.10:80/tcp"}).code, 0);
}

TEST(Lbctl, CheckHealthIsStatusFourWhenAPortLosesPackets) {
  FakeLbd lbd;
  lbd.answer("GET /v1/services", R"({"services":[]})");
  lbd.answer("GET /v1/ports", R"({"ports":[{"interface":"eth0","problem":"4 queues"}]})");
  lbd.answer("GET /v1/workers", R"({"workers":[]})");
  auto ran = run_lbctl(lbd.socket(), {"check-health"});
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.out, HasSubstr("eth0  PROBLEM  4 queues"));
}

TEST(Lbctl, CheckHealthIsStatusFourWhenAWorkerHangs) {
  FakeLbd lbd;
  lbd.answer("GET /v1/services", R"({"services":[]})");
  lbd.answer("GET /v1/ports", R"({"ports":[]})");
  lbd.answer("GET /v1/workers", R"({"workers":[{"worker":0,"last_step_ms":90},
                                               {"worker":1,"last_step_ms":4321}]})");
  auto ran = run_lbctl(lbd.socket(), {"check-health"});
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.out, HasSubstr("worker 1  PROBLEM  no step for 4321 ms"));
}

TEST(Lbctl, PanicAndReloadSayWhatIsInForce) {
  FakeLbd lbd;
  lbd.answer("POST /v1/panic", R"({"on":true})");
  lbd.answer("GET /v1/panic", R"({"on":false})");
  lbd.answer("POST /v1/reload", R"({"changed":["added 192.0.2.10:81/tcp"],"unchanged":false})");
  EXPECT_THAT(run_lbctl(lbd.socket(), {"panic", "on"}).out, HasSubstr("panic is on"));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"panic"}).out, HasSubstr("panic is off"));
  EXPECT_EQ(lbd.seen()[0].body, R"({"on":true})");
  EXPECT_THAT(run_lbctl(lbd.socket(), {"reload"}).out, HasSubstr("\n  added 192.0.2.10:81/tcp"));
}

constexpr const char* kExplainPath =
    "GET /v1/explain?client=198.51.100.7%3A51234&vip=192.0.2.10%3A80%2Ftcp";

TEST(Lbctl, ExplainPrintsTheStepsAndSucceedsWhenThePacketArrives) {
  FakeLbd lbd;
  lbd.answer(
      std::string(kExplainPath) + "&flags=syn%2Cack&port=eth1&queue=2&ttl=9&length=60&vlan=5",
      R"({"reason":null,"steps":["in by eth1","XDP sends it to 192.0.2.21"]})");
  auto ran = run_lbctl(lbd.socket(), {"explain", "198.51.100.7:51234", "192.0.2.10:80/tcp",
                                      "--flags", "syn,ack", "--port", "eth1", "--queue", "2",
                                      "--ttl", "9", "--length", "60", "--vlan", "5"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "in by eth1\nXDP sends it to 192.0.2.21\n");
}

TEST(Lbctl, ExplainIsNotHealthyWhenThePacketIsDropped) {
  FakeLbd lbd;
  const std::string answer = R"({"reason":"no_backend","steps":["it is dropped: no_backend"]})";
  lbd.answer(kExplainPath, answer);
  auto ran = run_lbctl(lbd.socket(), {"explain", "198.51.100.7:51234", "192.0.2.10:80/tcp"});
  EXPECT_EQ(ran.code, 4);
  EXPECT_EQ(ran.out, "it is dropped: no_backend\n");
  ran = run_lbctl(lbd.socket(), {"--json", "explain", "198.51.100.7:51234", "192.0.2.10:80/tcp"});
  EXPECT_EQ(ran.code, 4);
  EXPECT_EQ(ran.out, answer + "\n");
}

TEST(Lbctl, ExplainNeedsBothEnds) {
  FakeLbd lbd;
  EXPECT_EQ(run_lbctl(lbd.socket(), {"explain", "198.51.100.7:51234"}).code, 2);
  EXPECT_EQ(
      run_lbctl(lbd.socket(), {"explain", "198.51.100.7:51234", "192.0.2.10:80/tcp", "--ttl", "-1"})
          .code,
      2);
  EXPECT_TRUE(lbd.seen().empty());
}

}  // namespace
}  // namespace lb::client
