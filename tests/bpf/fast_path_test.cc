// SPDX-License-Identifier: Apache-2.0
// What the XDP program decides by itself: steady slots, open ones, exceptions, remembered flows, a
// worker that is dead. The flow memory is written by a FlowTable over the maps, as a worker does.
#include <set>

#include "dataplane/table/flow_table.h"
#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

using test::kAck;

constexpr std::uint8_t kFin = 1, kRst = 4;

class FastPathRun : public XdpProgramRun {
 protected:
  void fill() override {
    set_engine(LB_ENGINE_HYBRID);
    world_->vip(kVip);
    world_->vip(kVip6);
    world_->service("192.0.2.10:80/tcp", Scheduler::Mh, 2);
    world_->service("192.0.2.10:53/udp", Scheduler::Mh, 2);
    world_->service("192.0.2.10:81/tcp", Scheduler::Wrr, 2);
    world_->service("[2001:db8::10]:443/tcp", Scheduler::Mh, 2);
    world_->service("192.0.2.10:9000-9100/tcp", Scheduler::Sh, 2);
    world_->service("192.0.2.10:82/tcp", Scheduler::Mh, 1, 1);
    auto flows = FlowTable<FlowKey4>::over(shared_->flows4(0), 384, tick_ms_now());
    ASSERT_TRUE(flows) << flows.error().message;
    flows_.emplace(std::move(*flows));
  }
  /// Every slot of the service `index` has this owner, and what else is said.
  void set_slots(std::size_t index, std::uint16_t owner, std::optional<std::uint16_t> old,
                 bool exceptions = false) {
    Service& service = world_->spec().services[index];
    std::vector<std::uint16_t> owners(251, old.value_or(owner));
    SlotPlan plan(std::move(owners));
    if (old) {
      std::vector<std::uint16_t> next(251, owner);
      MemberBits alive(service.rs_count, true);
      plan.advance({.owners = next, .alive = alive, .now_s = 100, .window_s = 900});
    }
    if (exceptions) plan.except_all();
    service.table = world_->table_of(service, plan);
    install();
  }
  RealServer& rs(std::size_t service, std::size_t index) {
    return world_->spec().real_servers[world_->spec().services[service].rs_first + index];
  }
  /// "rs N" (the slot, by its MAC), or what run() says.
  std::string to(const PacketBuilder& packet) {
    XdpOutcome result = outcome(packet.build());
    alone_ = result.alone;
    if (result.what == "af_xdp") return "af_xdp " + result.reason;
    if (result.what != "tx" && result.what != "redirect") return result.what;
    return "rs " + std::to_string(result.bytes.at(5));
  }
  PacketBuilder tcp(std::uint16_t port, std::uint16_t vip_port, std::uint8_t flags) {
    return PacketBuilder(v4()).tcp(port, vip_port, flags);
  }
  void remember(std::size_t service, std::size_t index, std::uint16_t port, FlowState state,
                TickMs seen) {
    const Service& of = world_->spec().services[service];
    FlowKey4 key;
    key.client = test::ip(kClient).as_v4();
    key.vip = test::ip(kVip).as_v4();
    key.client_port = Be16::from_host(port);
    key.vip_port = Be16::from_host(of.address.port_first);
    key.proto = raw(of.address.proto);
    flows_->insert(key, flow_hash(key, world_->spec().flow_key),
                   {rs(service, index).id, of.id, seen, state},
                   [](const FlowData&) { return false; });
  }
  std::optional<FlowTable<FlowKey4>> flows_;
  bool alone_ = false;
};

TEST_F(FastPathRun, SteadySlotsNeedNoWorker) {
  set_slots(0, 1, std::nullopt);
  for (std::uint16_t port = 1000; port < 1050; ++port) {
    EXPECT_EQ(to(tcp(port, 80, kSyn)), "rs 1");
    EXPECT_EQ(to(tcp(port, 80, kAck)), "rs 1");
    EXPECT_EQ(to(tcp(port, 80, kFin | kAck)), "rs 1");
  }
  EXPECT_EQ(flows_->size(), 0U) << "nothing is remembered";
}

TEST_F(FastPathRun, RewritesAsTheWorkerDoes) {
  set_slots(0, 0, std::nullopt);
  Bytes sent = tcp(1000, 80, kAck).ttl(64).build();
  Bytes got = outcome(sent).bytes;
  Bytes expected = tcp(1000, 80, kAck).ttl(63).ethernet(rs(0, 0).mac, kPortMac).build();
  EXPECT_EQ(got, expected);
}

TEST_F(FastPathRun, TagsComeAndGo) {
  set_slots(0, 0, std::nullopt);
  Bytes got = outcome(v4().vlan(7).vlan(8).ttl(64).tcp(1000, 80, kAck).build()).bytes;
  EXPECT_EQ(got, tcp(1000, 80, kAck).ttl(63).ethernet(rs(0, 0).mac, kPortMac).build());
  rs(0, 0).vlan = 42;
  set_slots(0, 0, std::nullopt);
  got = outcome(tcp(1000, 80, kAck).ttl(64).build()).bytes;
  EXPECT_EQ(got,
            v4().vlan(42).ttl(63).ethernet(rs(0, 0).mac, kPortMac).tcp(1000, 80, kAck).build());
}

TEST_F(FastPathRun, ReadsIpv6AndRanges) {
  set_slots(3, 1, std::nullopt);
  EXPECT_EQ(to(v6().tcp(1000, 443, kAck)), "rs " + std::to_string(slot_of(rs(3, 1).id)));
  set_slots(4, 1, std::nullopt);
  EXPECT_EQ(to(tcp(1000, 9050, kAck)), "rs " + std::to_string(slot_of(rs(4, 1).id)));
  EXPECT_EQ(to(tcp(1000, 9101, kAck)), "vip_unmatched");
}

TEST_F(FastPathRun, OtherPortsAreRedirectedTo) {
  ASSERT_TRUE(shared_->set_device(static_cast<PortIndex>(1), 1));
  EXPECT_EQ(run(tcp(1000, 82, kAck)), "redirect");
  set_engine(LB_ENGINE_HYBRID, 1);
  EXPECT_EQ(to(tcp(1000, 82, kAck)), "af_xdp egress");
}

TEST_F(FastPathRun, OpenSlotsAskForMemory) {
  set_slots(0, 1, 0);
  EXPECT_EQ(to(tcp(1000, 80, kSyn)), "af_xdp new");
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "af_xdp unknown");
  EXPECT_EQ(to(tcp(1000, 80, kSyn | kAck)), "af_xdp unknown");
}

TEST_F(FastPathRun, ServicesThatShareATableCountAndRememberTheirOwn) {
  world_->service("192.0.2.10:83/tcp", Scheduler::Mh, 2);
  for (std::size_t i = 0; i < 2; ++i) {
    rs(6, i).address = rs(0, i).address;
    rs(6, i).mac = rs(0, i).mac;
  }
  auto share = [&] {
    world_->spec().services[6].table = world_->spec().services[0].table;
    install();
  };
  set_slots(0, 1, std::nullopt);
  share();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 1");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(to(tcp(1000, 83, kSyn)), "rs 1");
  Counters counters(kSizes.services_max, kSizes.rs_max);
  shared_->read_counters(counters);
  EXPECT_EQ(counters.rs[slot_of(rs(0, 1).id)].packets.get(), 3U);
  EXPECT_EQ(counters.rs[slot_of(rs(6, 1).id)].packets.get(), 5U);
  EXPECT_EQ(counters.rs[slot_of(rs(6, 1).id)].new_flows.get(), 5U);
  EXPECT_EQ(counters.services[6].packets.get(), 5U);

  set_slots(0, 1, 0);
  share();
  remember(6, 0, 2000, FlowState::Established, tick_ms_now());
  EXPECT_EQ(to(tcp(2000, 83, kAck)), "rs 0") << "remembered";
  EXPECT_EQ(to(tcp(2000, 80, kAck)), "af_xdp unknown") << "of the other service";
  shared_->read_counters(counters);
  EXPECT_EQ(counters.rs[slot_of(rs(6, 0).id)].packets.get(), 1U);
  // Another one of the same address: flows of the one before are not its.
  rs(6, 0).id = make_rs_id(slot_of(rs(6, 0).id), 9);
  install();
  EXPECT_EQ(to(tcp(2000, 83, kAck)), "af_xdp unknown");
}

TEST_F(FastPathRun, KeysThatNoIndexNamesKeepNoTable) {
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < world_->spec().services.size(); ++i) {
      // Another list of members: the new table comes under the service's other key.
      rs(i, 0).id = make_rs_id(slot_of(rs(i, 0).id), static_cast<std::uint16_t>(round + 2));
      set_slots(i, 0, std::nullopt);
    }
  }
  std::set<std::uint32_t> tables;
  for (std::uint32_t key = 0; key < 2 * kSizes.services_max; ++key) {
    std::uint32_t id = 0;
    if (bpf_map_lookup_elem(*program_->object().map_fd("tables0"), &key, &id) == 0) {
      tables.insert(id);
    }
  }
  EXPECT_EQ(tables.size(), world_->spec().services.size() + 1) << "theirs, and the empty one";
}

TEST_F(FastPathRun, MembersMayStandInAnotherOrder) {
  set_slots(0, 1, 0);
  remember(0, 0, 1000, FlowState::Established, tick_ms_now());
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0");
  for (int round = 0; round < 3; ++round) {
    std::swap(rs(0, 0), rs(0, 1));
    set_slots(0, static_cast<std::uint16_t>(round % 2), 1 - round % 2);
    EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0");
  }
  Counters counters(kSizes.services_max, kSizes.rs_max);
  shared_->read_counters(counters);
  EXPECT_EQ(counters.rs[0].packets.get(), 4U);
  EXPECT_EQ(counters.rs[1].packets.get(), 0U);
}

TEST_F(FastPathRun, RememberedFlowsStayInTheKernel) {
  set_slots(0, 1, 0);
  const TickMs now = tick_ms_now();
  remember(0, 0, 1000, FlowState::Established, now - 1000);
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0");
  flows_->read_range(0, flows_->buckets(), [&](const FlowKey4&, const FlowData& flow) {
    EXPECT_LT(ms_since(tick_ms_now(), flow.last_seen), 500) << "the kernel tells when it saw it";
  });
  EXPECT_EQ(to(tcp(1000, 80, kAck | kFin)), "af_xdp state");
  EXPECT_EQ(to(tcp(1000, 80, kRst)), "af_xdp state");
  EXPECT_EQ(to(tcp(1000, 80, kSyn)), "af_xdp state");
  remember(0, 0, 1001, FlowState::SynRecv, now);
  EXPECT_EQ(to(tcp(1001, 80, kAck)), "af_xdp state") << "the first ACK promotes it";
  remember(0, 0, 1002, FlowState::Established, now - 901'000);
  EXPECT_EQ(to(tcp(1002, 80, kAck)), "af_xdp unknown") << "idle for too long";
  rs(0, 0).up = false;
  set_slots(0, 1, std::nullopt, true);
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 1") << "its real server is dead";
}

TEST_F(FastPathRun, ExceptionsAreAskedForAndOthersGoToTheOwner) {
  set_slots(0, 1, std::nullopt, true);
  remember(0, 0, 1000, FlowState::Established, tick_ms_now());
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0");
  EXPECT_EQ(to(tcp(1001, 80, kAck)), "rs 1");
  EXPECT_EQ(to(tcp(1002, 80, kSyn)), "rs 1");
}

TEST_F(FastPathRun, StatefulServicesAreTheWorkersUntilTheFlowIsKnown) {
  EXPECT_EQ(to(tcp(1000, 81, kSyn)), "af_xdp new");
  EXPECT_EQ(to(tcp(1000, 81, kAck)), "af_xdp unknown");
  remember(2, 1, 1000, FlowState::Established, tick_ms_now());
  EXPECT_EQ(to(tcp(1000, 81, kAck)), "rs " + std::to_string(slot_of(rs(2, 1).id)));
  EXPECT_EQ(to(tcp(1000, 81, kAck | kFin)), "af_xdp state");
}

TEST_F(FastPathRun, DecidesAloneWhenTheWorkerIsGone) {
  stop_worker();
  set_slots(0, 1, 0);
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0") << "what is not remembered was the old one's";
  EXPECT_TRUE(alone_);
  EXPECT_EQ(to(tcp(1000, 80, kSyn)), "rs 0") << "cannot be remembered";
  remember(0, 1, 1001, FlowState::SynRecv, tick_ms_now());
  EXPECT_EQ(to(tcp(1001, 80, kAck)), "rs 1") << "the flow memory wins";
  EXPECT_EQ(to(tcp(1001, 80, kFin | kAck)), "rs 1");
  rs(0, 0).weight = 0;
  set_slots(0, 1, 0);
  EXPECT_EQ(to(tcp(1000, 80, kSyn)), "rs 1") << "the old one drains";
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0");
  EXPECT_EQ(to(tcp(1000, 81, kSyn)).substr(0, 2), "rs") << "the hash pick, stateful or not";
  EXPECT_EQ(run(v4().udp(1, 53).payload(64).fragment(0, true)), "no_socket");
  EXPECT_EQ(run(v4().ttl(1).tcp(1000, 80, kAck)), "ttl_expired");
}

TEST_F(FastPathRun, SteadySlotsAskForNothingWhateverAPacketCarries) {
  set_slots(0, 1, std::nullopt);
  remember(0, 0, 1000, FlowState::Established, tick_ms_now());  // not aged out yet
  stop_worker();
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 1");
  EXPECT_EQ(to(tcp(1000, 80, kAck).options(Bytes(4, 1))), "rs 1") << "as others of its flow";
}

TEST_F(FastPathRun, FlowsOfAServiceOnOtherPortsAreTheWorkers) {
  world_->service("192.0.2.10:9050/tcp", Scheduler::Mh, 2);
  set_slots(6, 1, std::nullopt, true);
  EXPECT_EQ(to(tcp(1000, 9050, kAck)), "rs " + std::to_string(slot_of(rs(6, 1).id)));
  FlowKey4 key;
  key.client = test::ip(kClient).as_v4();
  key.vip = test::ip(kVip).as_v4();
  key.client_port = Be16::from_host(1000);
  key.vip_port = Be16::from_host(9050);
  key.proto = raw(Proto::Tcp);
  const FlowData of_range{rs(4, 0).id, world_->spec().services[4].id, tick_ms_now(),
                          FlowState::Established};
  flows_->insert(key, flow_hash(key, world_->spec().flow_key), of_range,
                 [](const FlowData&) { return false; });
  EXPECT_EQ(to(tcp(1000, 9050, kAck)), "af_xdp state") << "the worker follows it";
}

TEST_F(FastPathRun, AHungWorkerIsLeftOut) {
  beat(tick_ms_now() - 61'000);
  set_slots(0, 1, 0);
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "rs 0");
  EXPECT_TRUE(alone_);
  beat(tick_ms_now());
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "af_xdp unknown");
}

TEST_F(FastPathRun, AboveTheRateTheHashDecides) {
  world_->spec().services[0].flow_rate = 10;
  set_slots(0, 1, 0);
  int handed = 0, old = 0;
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    const std::string where = to(tcp(port, 80, kSyn));
    ++(where == "af_xdp new" ? handed : old);
  }
  EXPECT_GE(handed, 10);
  EXPECT_GE(old, 1) << "more than ten in a window";
  Counters counters(16, 64);
  shared_->read_counters(counters);
  EXPECT_EQ(counters.services[0].packets.get(), static_cast<std::uint64_t>(old));
}

TEST_F(FastPathRun, AffinityOfUdp) {
  Service& dns = world_->spec().services[1];
  const std::string owner = "rs " + std::to_string(slot_of(rs(1, 1).id));
  auto query = [](std::uint16_t port) { return v4().udp(port, 53).payload(20); };
  set_slots(1, 1, std::nullopt);
  EXPECT_EQ(to(query(1)), owner);
  set_slots(1, 1, 0);
  EXPECT_EQ(to(query(1)), "af_xdp new");
  dns.affinity = Affinity::None;
  set_slots(1, 1, 0);
  EXPECT_EQ(to(query(1)), owner);
  dns.affinity = Affinity::Always;
  set_slots(1, 1, std::nullopt);
  EXPECT_EQ(to(query(1)), "af_xdp new");
  remember(1, 0, 2, FlowState::Udp, tick_ms_now());
  EXPECT_EQ(to(query(2)), "rs " + std::to_string(slot_of(rs(1, 0).id)));
}

TEST_F(FastPathRun, ChecksWhatTheWorkerWouldCheck) {
  EXPECT_EQ(run(tcp(1000, 80, 0)), "bad_flags");
  EXPECT_EQ(run(tcp(1000, 80, kSyn | kFin)), "bad_flags");
  EXPECT_EQ(run(tcp(0, 80, kAck)), "bad_l4_header");
  EXPECT_EQ(run(PacketBuilder("127.0.0.1", kVip).ethernet(kPortMac, kPeerMac).tcp(1, 80, kAck)),
            "bad_source");
  EXPECT_EQ(run(PacketBuilder(kVip, kVip).ethernet(kPortMac, kPeerMac).tcp(1, 80, kAck)),
            "bad_source");
  EXPECT_EQ(to(v4().ttl(1).tcp(1000, 80, kAck)), "af_xdp ttl");
  EXPECT_EQ(to(v4().options(Bytes(4, 1)).tcp(1000, 80, kAck)), "af_xdp options");
  EXPECT_EQ(to(v4().udp(1, 53).payload(64).fragment(0, true)), "af_xdp fragment");
  rs(0, 0).has_mac = rs(0, 1).has_mac = false;
  set_slots(0, 0, std::nullopt);
  EXPECT_EQ(to(tcp(1000, 80, kAck)), "af_xdp no_mac");
  rs(0, 0).has_mac = true;
  set_slots(0, LB_SLOT_NOBODY, std::nullopt);
  EXPECT_EQ(run(tcp(1000, 80, kAck)), "no_backend");
  world_->spec().ports[0].mtu = 100;
  set_slots(0, 0, std::nullopt);
  EXPECT_EQ(run(tcp(1000, 80, kAck).payload(100)), "too_large");
}

}  // namespace
}  // namespace lb
