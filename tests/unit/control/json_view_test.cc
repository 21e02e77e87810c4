// SPDX-License-Identifier: Apache-2.0
// The API's answers, read back as JSON; and the counters behind them.
#include "control/json_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/support/fake_dataplane.h"
#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

json::object parse(const std::string& text) { return json::parse(text).as_object(); }
std::string_view text(const json::value& value) { return std::string_view(value.as_string()); }

class JsonViewTest : public testing::Test {
 protected:
  JsonViewTest()
      : dataplane_({"eth0", "eth1"}, 2, 8, 16),
        registry_(small_limits()),
        stats_(dataplane_.counters()) {
    EXPECT_TRUE(registry_.add_service(kWeb, {}));
    EXPECT_TRUE(registry_.add_rs(kWeb, kRs1, rs_weight(3)));
    stats_.follow(registry_);
  }
  ViewInput view() { return {registry_, stats_, hops_, 5'000}; }
  RsCounters& rs_counters(std::size_t worker, RsId id) {
    return dataplane_.worker_counters[worker]->rs[slot_of(id)];
  }
  FakeDataplane dataplane_;
  Registry registry_;
  Stats stats_;
  NextHops hops_;
};

TEST_F(JsonViewTest, ServiceHasAllOfTheDocument) {
  auto service = parse(service_json(view(), kWeb));
  for (const char* key : {"address", "id", "origin", "real_servers", "name", "scheduler",
                          "mh_slots", "transition_ms", "affinity", "flow_rate", "vip_unmatched",
                          "icmp_echo", "vip_owner", "acl_entries", "sorry", "health", "timeouts"}) {
    EXPECT_TRUE(service.contains(key)) << key;
  }
  EXPECT_EQ(text(service.at("address")), "192.0.2.10:80/tcp");
  EXPECT_EQ(text(service.at("origin")), "runtime");
  EXPECT_TRUE(service.at("sorry").is_null());
  EXPECT_EQ(service.at("timeouts").at("established_ms").to_number<int>(), 900'000);
  EXPECT_EQ(service.at("timeouts").as_object().size(), kTimeoutFields);
  EXPECT_EQ(parse(services_json(view())).at("services").as_array().size(), 1U);
}

TEST_F(JsonViewTest, AServiceThatRemembersNoFlowsSaysSo) {
  auto stateless = [&] {
    auto stats = parse(stats_json(view(), dataplane_.workers(), dataplane_.ports(), 1));
    bool shown = parse(service_json(view(), kWeb)).at("stateless").as_bool();
    EXPECT_EQ(stats.at("services").at(0).at("stateless").as_bool(), shown);
    return shown;
  };
  EXPECT_FALSE(stateless());
  ASSERT_TRUE(registry_.set_service(kWeb, with_scheduler(Scheduler::Mh)));
  EXPECT_TRUE(stateless());
}

TEST_F(JsonViewTest, RealServerTellsWhyItGetsNothing) {
  auto rs = parse(rs_json(view(), kWeb, kRs1));
  for (const char* key :
       {"address", "id", "weight", "mac", "vlan", "port", "state", "health", "health_reason",
        "draining", "drain_left_ms", "resolved_mac", "egress", "active", "inactive", "reason"}) {
    EXPECT_TRUE(rs.contains(key)) << key;
  }
  EXPECT_EQ(text(rs.at("reason")), "not checked yet");
  EXPECT_TRUE(rs.at("egress").is_null());
  registry_.set_health(registry_.rs(kWeb, kRs1).value()->id, Health::Up, "connected", 1);
  EXPECT_EQ(text(parse(rs_json(view(), kWeb, kRs1)).at("reason")),
            "its MAC address is not known yet");
  hops_[NextHopKey{kRs1, 0, ""}] = NextHop{mac("02:00:00:00:00:21"), PortIndex{1}};
  rs = parse(rs_json(view(), kWeb, kRs1));
  EXPECT_EQ(text(rs.at("reason")), "");
  EXPECT_EQ(text(rs.at("egress")), "eth1");
  EXPECT_EQ(text(rs.at("resolved_mac")), "02:00:00:00:00:21");
  EXPECT_TRUE(rs.at("mac").is_null());
  ASSERT_TRUE(registry_.drain_rs(kWeb, kRs1, 3'000, 4'000));
  rs = parse(rs_json(view(), kWeb, kRs1));
  EXPECT_EQ(rs.at("drain_left_ms").to_number<int>(), 2'000);
}

TEST_F(JsonViewTest, StatsAddUpWorkersSinceTheOwnerCame) {
  RsId id = registry_.rs(kWeb, kRs1).value()->id;
  ServiceId service = registry_.services().at(kWeb).id;
  rs_counters(0, id).packets.add(5);
  rs_counters(1, id).packets.add(7);
  rs_counters(1, id).active.add(2);
  dataplane_.worker_counters[1]->services[slot_of(service)].packets.add(12);
  dataplane_.worker_counters[0]->services[slot_of(service)].unprotected.add(3);
  dataplane_.worker_counters[1]->services[slot_of(service)].unremembered.add(8);
  dataplane_.worker_counters[0]->worker.handed[raw(HandReason::State)].add(2);
  dataplane_.worker_counters[1]->worker.handed[raw(HandReason::State)].add(4);
  dataplane_.worker_counters[1]->worker.handed[raw(HandReason::None)].add(1);
  dataplane_.worker_counters[1]->worker.flows_half_open.add(6);
  dataplane_.worker_counters[0]->worker.rx_packets.add(100);
  dataplane_.worker_counters[1]->worker.drop(DropReason::NoBackend);
  dataplane_.port_infos[0].xdp_drops[static_cast<std::size_t>(DropReason::NoBackend)] = 4;
  dataplane_.worker_infos[1].sockets[0].rx_ring_full = 9;
  EXPECT_EQ(stats_.rs(id).packets, 12U);
  EXPECT_EQ(stats_.flows_of_slot(slot_of(id)), 2U);
  auto all = parse(stats_json(view(), dataplane_.workers(), dataplane_.ports(), 77));
  EXPECT_EQ(all.at("time_ns").to_number<int>(), 77);
  const auto& one = all.at("services").at(0);
  EXPECT_EQ(one.at("packets").to_number<int>(), 12);
  EXPECT_EQ(one.at("flows").to_number<int>(), 2);
  EXPECT_EQ(one.at("unprotected").to_number<int>(), 3);
  EXPECT_EQ(one.at("unremembered").to_number<int>(), 8);
  const auto& handed = all.at("total").at("handed").as_object();
  EXPECT_EQ(handed.size(), kHandReasons);
  EXPECT_EQ(handed.at("state").to_number<int>(), 6);
  EXPECT_EQ(handed.at("none").to_number<int>(), 1);
  EXPECT_EQ(all.at("workers").at(1).at("flows_half_open").to_number<int>(), 6);
  EXPECT_EQ(one.at("real_servers").at(0).at("packets").to_number<int>(), 12);
  EXPECT_EQ(all.at("total").at("rx_packets").to_number<int>(), 100);
  EXPECT_EQ(all.at("total").at("rx_ring_full").to_number<int>(), 9);
  EXPECT_EQ(all.at("total").at("drops").at("no_backend").to_number<int>(), 5);
  EXPECT_EQ(all.at("workers").at(1).at("drops").at("no_backend").to_number<int>(), 1);
  auto drops = parse(drops_json(dataplane_.ports(), dataplane_.workers(), stats_));
  EXPECT_EQ(drops.at("drops").as_array().size(), kDropReasons);
}

TEST_F(JsonViewTest, DropsAtTheSocketsAreDropsWithAReason) {
  SocketStats& copy = dataplane_.worker_infos[0].sockets[0];
  copy.rx_dropped = 7;
  copy.rx_fill_ring_empty_descs = 4;  // of the seven
  SocketStats& zero_copy = dataplane_.worker_infos[1].sockets[0];
  zero_copy.zero_copy = true;
  zero_copy.rx_dropped = 10;
  zero_copy.rx_fill_ring_empty_descs = 100;  // the driver asked in vain
  zero_copy.tx_invalid_descs = 2;
  zero_copy.tx = {.level = 3, .size = 64};
  auto row = [&](DropReason reason) {
    auto all = parse(drops_json(dataplane_.ports(), dataplane_.workers(), stats_));
    return all.at("drops").at(static_cast<std::size_t>(reason));
  };
  EXPECT_EQ(row(DropReason::RxTooLarge).at("sockets").to_number<int>(), 13);
  EXPECT_EQ(row(DropReason::RxTooLarge).at("total").to_number<int>(), 13);
  EXPECT_NE(text(row(DropReason::RxTooLarge).at("help")).find("frame_bytes"), std::string::npos);
  EXPECT_EQ(row(DropReason::RxNoFrame).at("total").to_number<int>(), 4);
  auto total = parse(stats_json(view(), dataplane_.workers(), dataplane_.ports(), 77)).at("total");
  EXPECT_EQ(total.at("rx_fill_ring_empty_descs").to_number<int>(), 104);
  EXPECT_EQ(total.at("tx_invalid_descs").to_number<int>(), 2);
  EXPECT_EQ(total.at("drops").at("rx_too_large").to_number<int>(), 13);
  auto socket = parse(workers_json(dataplane_.workers())).at("workers").at(1).at("sockets").at(0);
  EXPECT_EQ(socket.at("rings").at("tx").at("level").to_number<int>(), 3);
}

TEST_F(JsonViewTest, ANewOwnerOfASlotStartsAtZero) {
  Registry registry({1, 1, {"eth0"}});
  Stats stats(dataplane_.counters());
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs1, {}));
  stats.follow(registry);
  RsId first = registry.rs(kWeb, kRs1).value()->id;
  rs_counters(0, first).packets.add(50);
  ASSERT_TRUE(registry.del_rs(kWeb, kRs1));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs2, {}));
  RsId second = registry.rs(kWeb, kRs2).value()->id;
  EXPECT_EQ(slot_of(first), slot_of(second));
  EXPECT_EQ(stats.rs(second).packets, 0U) << "not followed yet";
  stats.follow(registry);
  rs_counters(0, second).packets.add(3);
  EXPECT_EQ(stats.rs(second).packets, 3U);
  EXPECT_EQ(stats.rs(first).packets, 0U) << "a stale id";
}

TEST_F(JsonViewTest, FlowsNameTheirServiceAndRealServer) {
  FlowRow row;
  row.flow.client = ip("2001:db8::7");
  row.flow.client_port = 4000;
  row.flow.vip = ip("2001:db8::1");
  row.flow.vip_port = 443;
  row.flow.data = {registry_.rs(kWeb, kRs1).value()->id, registry_.services().at(kWeb).id, 0,
                   FlowState::Established};
  row.idle_ms = 5;
  FlowRow stale = row;
  stale.flow.data.rs = make_rs_id(3, 9);
  auto all = parse(flows_json(registry_, std::array{row, stale}, 10));
  EXPECT_EQ(all.at("total").to_number<int>(), 10);
  EXPECT_EQ(all.at("shown").to_number<int>(), 2);
  const auto& flow = all.at("flows").at(0);
  EXPECT_EQ(text(flow.at("client")), "[2001:db8::7]:4000");
  EXPECT_EQ(text(flow.at("real_server")), "192.0.2.21");
  EXPECT_EQ(text(flow.at("service")), "192.0.2.10:80/tcp");
  EXPECT_EQ(text(flow.at("state")), "ESTABLISHED");
  EXPECT_TRUE(all.at("flows").at(1).at("real_server").is_null());
}

TEST_F(JsonViewTest, PortsWorkersAndTheRest) {
  dataplane_.port_infos.at(1).queues_now = 9;
  dataplane_.port_infos.at(1).problem = "too many";
  auto ports = parse(ports_json(dataplane_.ports()));
  EXPECT_EQ(ports.at("ports").as_array().size(), 2U);
  EXPECT_EQ(ports.at("ports").at(1).at("queues_now").to_number<int>(), 9);
  EXPECT_EQ(text(ports.at("ports").at(1).at("problem")), "too many");
  PortInfo& first = dataplane_.port_infos.at(0);
  first.engine_reason = "no XDP_TX";
  first.xdp_sent = 1;
  first.xdp_forwarded = 2;
  first.xdp_alone = 3;
  first.xdp_handed = first.handed[static_cast<std::size_t>(HandReason::New)] = 4;
  const auto port = parse(ports_json(dataplane_.ports())).at("ports").at(0).as_object();
  EXPECT_EQ(text(port.at("engine")), "hybrid");
  EXPECT_EQ(text(port.at("engine_reason")), "no XDP_TX");
  EXPECT_EQ(port.at("sent").to_number<int>(), 1);
  EXPECT_EQ(port.at("forwarded").to_number<int>(), 2);
  EXPECT_EQ(port.at("alone").to_number<int>(), 3);
  EXPECT_EQ(port.at("handed").to_number<int>(), 4);
  EXPECT_EQ(port.at("handovers").as_object().size(), kHandReasons);
  EXPECT_EQ(port.at("handovers").at("new").to_number<int>(), 4);
  EXPECT_FALSE(port.contains("redirected"));
  dataplane_.worker_infos.at(1).last_step_ms = 1234;
  dataplane_.worker_infos.at(1).hugepages = true;
  dataplane_.worker_infos.at(0).sockets.at(1).tx_error = EINVAL;
  auto workers = parse(workers_json(dataplane_.workers()));
  auto sockets = workers.at("workers").at(0).at("sockets");
  EXPECT_EQ(text(sockets.at(0).at("tx_error")), "");
  EXPECT_EQ(text(sockets.at(1).at("tx_error")), "Invalid argument");
  EXPECT_EQ(workers.at("workers").at(1).at("last_step_ms").to_number<int>(), 1234);
  EXPECT_TRUE(workers.at("workers").at(1).at("hugepages").as_bool());
  EXPECT_EQ(workers.at("workers").at(1).at("sockets").as_array().size(), 2U);
  EXPECT_TRUE(parse(bpf_json({})).at("objects").as_array().empty());
  NeighbourInfo neighbour{kRs1, "eth0", std::nullopt, "incomplete", false, 3};
  EXPECT_TRUE(
      parse(neighbours_json(std::span(&neighbour, 1))).at("neighbours").at(0).at("mac").is_null());
  VersionInfo version;
  EXPECT_EQ(text(parse(version_json(version)).at("hash")), "multiply-mix");
  version.hash = LB_HASH_SIPHASH;
  EXPECT_EQ(text(parse(version_json(version)).at("hash")), "siphash");
  EXPECT_EQ(text(parse(version_json({1, 2, Generation{3}, "/etc/sluice/lbd.toml"})).at("version")),
            LB_VERSION);
  EXPECT_TRUE(parse(panic_json(true)).at("on").as_bool());
  ReloadReport report{{"a"}, {"b"}};
  EXPECT_FALSE(parse(reload_json(report)).at("unchanged").as_bool());
  EXPECT_EQ(parse(reload_json(report)).at("changed").as_array().size(), 2U);
  EXPECT_TRUE(parse(reload_json({})).at("unchanged").as_bool());
}

TEST_F(JsonViewTest, ErrorsAreValidJsonWhateverTheyQuote) {
  auto error = refuse(Refusal::NoSuchService, "there is no service \xff\x01\"x\"").error();
  auto answer = parse(error_json(error));
  EXPECT_EQ(text(answer.at("error").at("code")), "no_such_service");
  EXPECT_THAT(std::string(text(answer.at("error").at("message"))), HasSubstr("\\xff\\x01\"x\""));
}

TEST(MemoryPlan, AddsUpAndWarns) {
  Config config;
  config.dataplane.ports = {{"eth0"}};
  auto one = plan_memory(config, 1), two = plan_memory(config, 2);
  EXPECT_GT(one.total_bytes(), 1'048'576U * 48);
  EXPECT_LT(one.total_bytes(), 1'048'576U * 64 + 262'144U * 96 + (16U << 20));
  EXPECT_GT(two.total_bytes(), one.total_bytes() * 19 / 10);
  EXPECT_EQ(memory_warning(one, std::uint64_t{1} << 40), "");
  EXPECT_EQ(memory_warning(one, std::nullopt), "");
  EXPECT_THAT(memory_warning(one, 50U << 20), HasSubstr("50.0 MiB are available (lower flows_max"));
  EXPECT_THAT(memory_text(one), HasSubstr("total"));
  EXPECT_EQ(one.lookup_max_bytes, std::uint64_t{1024} * kMaglevSlotsDefault * 12);
  EXPECT_THAT(memory_text(one), HasSubstr("lookup arrays can grow to 768 MiB"));
  ConfigService service{kWeb, with_scheduler(Scheduler::Mh), {{ip("10.0.0.21"), {}}}, {}};
  config.services.push_back(service);
  const MemoryPlan with_service = plan_memory(config, 1);
  EXPECT_GE(with_service.total_bytes(),
            one.total_bytes() + 12 * std::uint64_t{kMaglevSlotsDefault});
  // Services with the same real servers share a table.
  config.services.push_back(service);
  config.services.back().address.port_first = config.services.back().address.port_last = 81;
  const MemoryPlan shared = plan_memory(config, 1);
  EXPECT_EQ(shared.tables, 1U);
  EXPECT_LT(shared.total_bytes(), with_service.total_bytes() + 10'000);
  EXPECT_THAT(memory_text(shared), HasSubstr("1 table of lookup arrays for 2 services"));
  config.services.back().real_servers[0].settings.weight = 2;
  EXPECT_EQ(plan_memory(config, 1).tables, 2U);
  EXPECT_TRUE(memory_available_bytes());
  auto json_plan = parse(memory_json(one));
  EXPECT_EQ(json_plan.at("total_bytes").to_number<std::uint64_t>(), one.total_bytes());
  EXPECT_TRUE(parse(check_json(config, one)).at("ok").as_bool());
}

}  // namespace
}  // namespace lb
