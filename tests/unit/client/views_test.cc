// SPDX-License-Identifier: Apache-2.0
// The tables of show and stats, from answers as docs/api.md describes them, and from poorer ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/client/show_views.h"
#include "control/client/stats.h"
#include "tests/unit/client/fake_lbd.h"

namespace lb::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

JsonDoc doc(std::string text) {
  auto parsed = JsonDoc::parse(std::move(text));
  EXPECT_TRUE(parsed);
  return std::move(*parsed);
}

constexpr const char* kServices = R"({"services":[{"address":"192.0.2.10:80/tcp","name":"web",
  "scheduler":"wrr","vip_owner":"lbd","origin":"config",
  "health":{"type":"tcp","port":0,"interval_ms":2000},
  "real_servers":[
   {"address":"192.0.2.21","weight":1,"health":"up","state":"auto","active":3,"inactive":1,
    "resolved_mac":"02:00:00:00:00:15","egress":"eth0","reason":"","draining":false},
   {"address":"192.0.2.22","weight":0,"health":"down","health_reason":"connection refused",
    "state":"auto","active":0,"inactive":2,"mac":"02:00:00:00:00:16","vlan":7,"egress":"eth0",
    "reason":"its check fails","draining":false},
   {"address":"192.0.2.23","weight":1,"health":"up","state":"auto","active":9,"inactive":0,
    "egress":"eth0","reason":"draining","draining":true,"drain_left_ms":61000}]}]})";

TEST(Views, VipsCountRealServersThatTakeNewFlows) {
  EXPECT_EQ(
      vips_view(doc(kServices).root(), {}),
      "SERVICE            NAME  SCHEDULER  RS UP  ACTIVE  INACTIVE  CHECK   VIP OWNER  FROM\n"
      "192.0.2.10:80/tcp  web   wrr          1/3      12         3  tcp/2s  lbd        config\n");
}

TEST(Views, RealServersSayWhatIsWrongWithThem) {
  auto answer = doc(kServices);
  auto text = rs_view(answer.root(), {});
  EXPECT_THAT(text,
              HasSubstr("192.0.2.21        1  up             3         1  02:00:00:00:00:15 "));
  EXPECT_THAT(text, HasSubstr("its check fails: connection refused"));
  EXPECT_THAT(text, HasSubstr("02:00:00:00:00:16 (manual) vlan 7"));
  EXPECT_THAT(text, HasSubstr("draining; removed in 1m 1s at the latest"));
}

constexpr const char* kHashed = R"({"services":[{"address":"192.0.2.10:80/tcp","scheduler":"mh",
  "stateless":true,"real_servers":[{"address":"192.0.2.21","weight":1,"health":"up","state":"auto",
   "active":3,"inactive":1,"reason":""}]},
  {"address":"192.0.2.10:81/tcp","scheduler":"wlc","stateless":false,"real_servers":[
   {"address":"192.0.2.22","weight":1,"health":"up","state":"auto","active":5,"inactive":0,
    "reason":""}]}]})";

TEST(Views, FlowsThatAreNotRememberedAreADashAndNotAZero) {
  auto answer = doc(kHashed);
  auto vips = vips_view(answer.root(), {});
  EXPECT_THAT(vips, HasSubstr("192.0.2.10:80/tcp  -     mh           1/1       -         -"));
  EXPECT_THAT(vips, HasSubstr("192.0.2.10:81/tcp  -     wlc          1/1       5         0"));
  EXPECT_THAT(vips, HasSubstr("\nACTIVE and INACTIVE are not counted with mh, sh and dh"));
  auto rs = rs_view(answer.root(), {});
  EXPECT_THAT(rs, HasSubstr("192.0.2.21        1  up           -         -"));
  EXPECT_THAT(rs, HasSubstr("192.0.2.22        1  up           5         0"));
  EXPECT_THAT(rs, HasSubstr("not counted"));
  auto services = answer.root().items("services");
  EXPECT_THAT(rs_of_service_view(services.at(0), {}), HasSubstr("not counted"));
  EXPECT_THAT(rs_of_service_view(services.at(1), {}), Not(HasSubstr("not counted")));
  auto none = doc(R"({"stateless":true,"real_servers":[]})");
  EXPECT_THAT(rs_of_service_view(none.root(), {}), Not(HasSubstr("not counted")));
  EXPECT_THAT(counters_view(answer.root(), {}),
              HasSubstr("192.0.2.21         -      -          -       -         -      -"));
  EXPECT_THAT(counters_view(answer.root(), {}), HasSubstr("not counted"));
  EXPECT_THAT(counters_view(doc(kServices).root(), {}), Not(HasSubstr("not counted")));
}

TEST(Views, EmptyAnswersAreSentences) {
  auto empty = doc("{}");
  EXPECT_THAT(vips_view(empty.root(), {}), HasSubstr("no services"));
  EXPECT_THAT(rs_view(empty.root(), {}), HasSubstr("no real servers"));
  EXPECT_EQ(flows_view(empty.root(), {}), "no flows\n");
  EXPECT_THAT(drops_view(empty.root(), {}), HasSubstr("no packet was dropped"));
  EXPECT_EQ(bpf_view(empty.root(), {}), "no BPF objects\n");
  EXPECT_THAT(neighbours_view(empty.root(), {}), HasSubstr("no neighbours"));
  EXPECT_THAT(handovers_view(empty.root(), {}), HasSubstr("nothing was handed to the workers"));
  EXPECT_THAT(slots_view(empty.root(), {}), HasSubstr("no slots"));
  EXPECT_EQ(counters_view(empty.root(), {}), "no services\n");
}

TEST(Views, AnswersOfTheWrongShapeDoNotCrash) {
  for (const char* text :
       {"[]", "null", "3", R"({"services":{}})", R"({"services":[3,null,"x"]})",
        R"({"services":[{"real_servers":[[]],"health":4,"address":{}}]})",
        R"({"workers":[{"sockets":[1]}],"ports":[null],"drops":[{"total":-4}]})",
        R"({"real_servers":[7,{"percent":"x"}],"open_slots":3,"handovers":[{"packets":{}},1]})"}) {
    auto answer = doc(text);
    for (auto view : {vips_view, rs_view, rs_of_service_view, flows_view, ports_view, workers_view,
                      neighbours_view, drops_view, drops_all_view, handovers_view,
                      handovers_all_view, slots_view, bpf_view, memory_view, version_view}) {
      EXPECT_FALSE(view(answer.root(), {}).empty());
    }
    EXPECT_FALSE(counters_view(answer.root(), {}).empty());
    EXPECT_FALSE(rates_view(answer.root(), answer.root(), {}).empty());
    EXPECT_FALSE(worker_counters_view(answer.root(), {}).empty());
  }
}

TEST(Views, FlowsTellWhenThereAreMore) {
  auto answer = doc(R"({"flows":[{"worker":0,"proto":"tcp","client":"198.51.100.7:4000",
    "vip":"192.0.2.10:80","real_server":"192.0.2.21","state":"ESTABLISHED","idle_ms":1500,
    "expires_ms":899000}],"shown":1,"total":70})");
  auto text = flows_view(answer.root(), {});
  EXPECT_THAT(text, HasSubstr("ESTABLISHED    1s  14m 59s       0"));
  EXPECT_THAT(text, HasSubstr("1 of 70 flows shown"));
}

TEST(Views, WorkersTellWhenTheyTookTheirLastStep) {
  auto answer = doc(R"({"workers":[{"worker":0,"cpu":2,"idle":"poll","last_step_ms":1500,
    "hugepages":true,"generation":7,"frames":8192,"frames_free":96,
    "sockets":[{"interface":"eth0","rings":{"rx":{"level":5,"size":2048}}}]}]})");
  auto text = workers_view(answer.root(), {});
  EXPECT_THAT(text, HasSubstr("5/2048"));
  EXPECT_THAT(text, HasSubstr("LAST STEP"));
  EXPECT_THAT(text, HasSubstr("1500 ms"));
}

TEST(Views, WorkersTellWhyTheKernelDoesNotSend) {
  auto answer = doc(R"({"workers":[{"worker":3,"sockets":[{"interface":"eth0","tx_refused":9,
    "tx_error":"Invalid argument"},{"interface":"eth1","tx_refused":0,"tx_error":""}]}]})");
  auto text = workers_view(answer.root(), {});
  EXPECT_THAT(text, HasSubstr("worker 3, eth0: the kernel refused to send 9 times, the last: "
                              "Invalid argument\n"));
  EXPECT_THAT(text, Not(HasSubstr("eth1:")));
}

TEST(Views, PortsGiveTheReasonsBelow) {
  auto answer = doc(R"({"ports":[{"interface":"eth0","up":false,"xdp_mode":"generic",
    "xdp_mode_reason":"the driver has no native XDP","copy_mode":"copy"}]})");
  auto text = ports_view(answer.root(), {});
  EXPECT_THAT(text, HasSubstr("DOWN"));
  EXPECT_THAT(text, HasSubstr("eth0: the driver has no native XDP\n"));
}

TEST(Views, PortsTellWhatXdpForwardsAndWhyItDoesNot) {
  auto answer = doc(R"({"ports":[{"interface":"eth0","up":true,"engine":"hybrid","sent":700,
    "forwarded":80,"handed":9,"alone":2,"passed":1,"dropped":3,"panic_passed":4},
    {"interface":"eth1","up":true,"engine":"afxdp","engine_reason":"the driver cannot XDP_TX"}]})");
  auto text = ports_view(answer.root(), {});
  EXPECT_THAT(text, HasSubstr("hybrid        -       1   700         80       9      2        3"));
  EXPECT_THAT(text, HasSubstr("eth1: the driver cannot XDP_TX\n"));
}

TEST(Views, HandoversTellTheReasonsAndTheShareOfXdp) {
  auto answer = doc(R"({"handovers":[
    {"reason":"new","help":"a flow begins","packets":30},
    {"reason":"icmp","help":"an ICMP error","packets":10},
    {"reason":"ttl","help":"TTL is over","packets":0}],
    "handed":40,"sent":900,"forwarded":60,"alone":0})");
  EXPECT_EQ(
      handovers_view(answer.root(), {}),
      "REASON  PACKETS   SHARE  WHAT IT MEANS\n"
      "new          30  75.00%  a flow begins\n"
      "icmp         10  25.00%  an ICMP error\n"
      "XDP forwarded 960 of 1000 packets by itself (96.00%): 900 out of the port they came in "
      "by, 60 out of another\n");
  EXPECT_THAT(handovers_all_view(answer.root(), {}), HasSubstr("ttl           0   0.00%"));
  auto alone = doc(R"({"handovers":[],"handed":0,"sent":5,"forwarded":0,"alone":4})");
  auto text = handovers_view(alone.root(), {});
  EXPECT_THAT(text, HasSubstr("nothing was handed"));
  EXPECT_THAT(text, HasSubstr("5 of 5 packets"));
  EXPECT_THAT(text, HasSubstr("4 of them without the worker that should have decided\n"));
}

TEST(Views, SlotsShowTheShareAgainstTheWeightAndWhatIsOpen) {
  auto answer = doc(R"({"service":"192.0.2.10:80/tcp","scheduler":"mh","hashed":true,"slots":1000,
    "open_slots":120,"exception_slots":3,"unowned_slots":0,"window_s":900,"next_deadline_s":842,
    "last_deadline_s":899,"real_servers":[
    {"address":"192.0.2.21","up":true,"draining":false,"sorry":false,"weight":1,"slots":250,
     "percent":25.0,"percent_wanted":24.98,"gained_slots":120,"leaving_slots":0,
     "exception_slots":3},
    {"address":"192.0.2.22","up":true,"draining":true,"weight":0,"slots":0,"percent":0,
     "percent_wanted":0,"gained_slots":0,"leaving_slots":120,"exception_slots":0},
    {"address":"192.0.2.99","up":true,"sorry":true,"weight":1,"slots":0,"percent":0}]})");
  EXPECT_EQ(
      slots_view(answer.root(), {}),
      "REAL SERVER  WEIGHT  SLOTS   SHARE  WANTED  GAINED  LEAVING  EXCEPTIONS  NOTE\n"
      "192.0.2.21        1    250  25.00%  24.98%     120        0           3  -\n"
      "192.0.2.22        0      0   0.00%   0.00%       0      120           0  takes no new "
      "flows\n"
      "192.0.2.99        1      0   0.00%       -       0        0           0  sorry\n"
      "1000 slots; 120 open (the first closes in 14m 2s, the last in 14m 59s; each after 15m), "
      "3 with exceptions\n");
  auto quiet = doc(R"({"scheduler":"wrr","slots":1021,"unowned_slots":1021,"real_servers":[
    {"address":"192.0.2.21","up":false}]})");
  auto text = slots_view(quiet.root(), {});
  EXPECT_THAT(text, HasSubstr("down"));
  EXPECT_THAT(text, HasSubstr("1021 slots; 0 open, 0 with exceptions, 1021 that nobody owns\n"));
  EXPECT_THAT(text, HasSubstr("its scheduler is wrr: every flow is remembered"));
}

TEST(Views, PortsTellOfQueuesWithoutASocket) {
  auto answer = doc(R"({"ports":[{"interface":"eth0","up":true,"queues":2,"queues_now":4,
    "problem":"ethtool -L eth0 combined 2"},{"interface":"eth1","queues":2,"queues_now":2}]})");
  auto text = ports_view(answer.root(), {});
  EXPECT_THAT(text, HasSubstr("2 of 4"));
  EXPECT_THAT(text, HasSubstr("eth0: ethtool -L eth0 combined 2\n"));
}

TEST(Views, DropsLeaveZeroesOutUnlessAsked) {
  auto answer = doc(R"({"drops":[{"reason":"bad_flags","help":"h","xdp":0,"workers":4,"total":4},
                                 {"reason":"no_backend","help":"i","xdp":0,"workers":0,"total":0}]})");
  EXPECT_THAT(drops_view(answer.root(), {}), Not(HasSubstr("no_backend")));
  EXPECT_THAT(drops_all_view(answer.root(), {}), HasSubstr("no_backend"));
}

constexpr const char* kBefore = R"({"time_ns":1000000000,"services":[{"address":"a","packets":100,
  "bytes":1000,"new_flows":1,"drops":0,"real_servers":[{"address":"r","packets":100,"bytes":1000}]}]})";
constexpr const char* kAfter = R"({"time_ns":3000000000,"services":[{"address":"a","packets":2100,
  "bytes":500,"new_flows":5,"drops":4,"real_servers":[{"address":"r","packets":2100,"bytes":1000},
  {"address":"s","packets":10}]}]})";

TEST(Stats, RatesAreGrowthASecondAndNeverNegative) {
  auto before = doc(kBefore);
  auto after = doc(kAfter);
  EXPECT_EQ(rates_view(before.root(), after.root(), {}),
            "SERVICE  REAL SERVER  PACKETS/S  BYTES/S  NEW FLOWS/S  DROPS/S\n"
            "a        -                 1000        0            2        2\n"
            "a        r                 1000        0            0        -\n"
            "a        s                    5        0            0        -\n");
  auto json = doc(rates_json(before.root(), after.root()).to_string());
  auto service = json.root().items("services").at(0);
  EXPECT_EQ(json.root().number("interval_s"), 2U);
  EXPECT_EQ(service.number("packets_per_s"), 1000U);
  EXPECT_EQ(service.items("real_servers").size(), 2U);
}

TEST(Stats, TheSameAnswerTwiceIsNoRate) {
  auto after = doc(kAfter);
  EXPECT_THAT(rates_view(after.root(), after.root(), {}),
              HasSubstr("a        -                    0"));
}

TEST(Stats, TheSorryServerHasItsOwnLine) {
  auto answer = doc(R"({"time_ns":1,"services":[{"address":"a","packets":3,"real_servers":[],
    "sorry":{"address":"s","packets":3,"active":1}}]})");
  EXPECT_THAT(counters_view(answer.root(), {}), HasSubstr("s (sorry)"));
  EXPECT_THAT(rates_view(answer.root(), answer.root(), {}), HasSubstr("s (sorry)"));
}

TEST(Stats, WorkerCountersAreAColumnAWorkerWithoutZeroes) {
  auto answer = doc(R"({"workers":[{"worker":0,"rx_packets":5,"steps":0,"drops":{"bad_flags":2}},
                                   {"worker":1,"rx_packets":7,"drops":{},
                                    "handed":{"new":0,"state":3}}]})");
  EXPECT_EQ(worker_counters_view(answer.root(), {}),
            "COUNTER          WORKER 0  WORKER 1\n"
            "rx_packets              5         7\n"
            "drops.bad_flags         2         0\n"
            "handed.state            0         3\n");
}

TEST(Stats, WhatShouldNotHappenHasAColumnOnceItDoes) {
  auto before = doc(R"({"time_ns":1000000000,"services":[{"address":"a","unremembered":0},
    {"address":"b"}]})");
  auto after = doc(R"({"time_ns":3000000000,"services":[{"address":"a","packets":1,"unprotected":0,
    "unremembered":6,"real_servers":[{"address":"r","packets":1}]},{"address":"b","packets":2}]})");
  EXPECT_EQ(
      counters_view(after.root(), {}),
      "SERVICE  REAL SERVER  PACKETS  BYTES  NEW FLOWS  ACTIVE  INACTIVE  DROPS  UNREMEMBERED\n"
      "a        -                  1      -          -       0         0      -             6\n"
      "a        r                  1      -          -       -         -      -             -\n"
      "b        -                  2      -          -       0         0      -             -\n");
  EXPECT_EQ(rates_view(before.root(), after.root(), {}),
            "SERVICE  REAL SERVER  PACKETS/S  BYTES/S  NEW FLOWS/S  DROPS/S  UNREMEMBERED/S\n"
            "a        -                    0        0            0        0               3\n"
            "a        r                    0        0            0        -               -\n"
            "b        -                    1        0            0        0               0\n");
  auto json = doc(rates_json(before.root(), after.root()).to_string());
  EXPECT_EQ(json.root().items("services").at(0).number("unremembered_per_s"), 3U);
}

TEST(Stats, CommandFiltersServicesAndWatchesSoManyTimes) {
  FakeLbd lbd;
  lbd.answer("GET /v1/stats",
             R"({"time_ns":1,"services":[{"address":"192.0.2.10:80/tcp","packets":5},
                                  {"address":"192.0.2.10:81/tcp","packets":6}]})");
  auto one = run_lbctl(lbd.socket(), {"stats", "192.0.2.10:80/tcp"});
  EXPECT_THAT(one.out, HasSubstr("192.0.2.10:80/tcp"));
  EXPECT_THAT(one.out, Not(HasSubstr("192.0.2.10:81/tcp")));
  auto twice =
      run_lbctl(lbd.socket(), {"stats", "--watch", "0.1", "--count", "2", "192.0.2.10:80/tcp"});
  EXPECT_EQ(twice.code, 0);
  EXPECT_EQ(lbd.seen().size(), 3U);
  auto bare = run_lbctl(lbd.socket(), {"stats", "--count", "1", "--watch", "192.0.2.10:81/tcp"});
  EXPECT_THAT(bare.out, HasSubstr("192.0.2.10:81/tcp"));
  auto rate =
      run_lbctl(lbd.socket(), {"--json", "stats", "--rate", "--watch", "0.1", "--count", "1"});
  EXPECT_THAT(rate.out, HasSubstr("packets_per_s"));
  auto none = run_lbctl(lbd.socket(), {"stats", "192.0.2.10:82/tcp"});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, HasSubstr("there is no service 192.0.2.10:82/tcp"));
}

}  // namespace
}  // namespace lb::client
