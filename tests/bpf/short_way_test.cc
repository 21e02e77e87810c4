// SPDX-License-Identifier: Apache-2.0
// The short way of the XDP program against its long way and against the workers' own choice of a
// slot: on packets that are nearly common, by both flow hashes.
#include <functional>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "dataplane/table/slot_decision.h"
#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

constexpr int kRounds = 20'000;

class ShortWay : public XdpProgramRun, public testing::WithParamInterface<lb_hash_kind> {
 protected:
  [[nodiscard]] lb_hash_kind hash() const override { return GetParam(); }
  void fill() override {
    set_engine(LB_ENGINE_HYBRID);
    world_->vip(kVip);
    world_->vip(kVip6);
    world_->vip("192.0.2.20");
    world_->service("192.0.2.10:80/tcp", Scheduler::Mh, 5);
    world_->service("192.0.2.10:80/udp", Scheduler::Mh, 5);
    world_->service("[2001:db8::10]:80/tcp", Scheduler::Mh, 5);
    world_->service("[2001:db8::10]:80/udp", Scheduler::Mh, 5);
    world_->service("192.0.2.10:81/tcp", Scheduler::Sh, 5);
    world_->service("192.0.2.10:82/tcp", Scheduler::Dh, 5);
    world_->service("192.0.2.10:83/tcp", Scheduler::Wrr, 5);
    world_->service("192.0.2.10:84/tcp", Scheduler::Mh, 2, 1);
    world_->service("192.0.2.10:8000-8100/tcp", Scheduler::Mh, 2);
    auto exceptions = FastWorld::in_turn(world_->service("192.0.2.10:85/tcp", Scheduler::Mh, 2));
    exceptions.except_all();
    Service& asks = world_->spec().services.back();
    asks.table = world_->table_of(asks, exceptions);
    Service& odd = world_->service("192.0.2.10:86/tcp", Scheduler::Mh, 4);
    real_server(odd, 0).has_mac = false;
    real_server(odd, 1).vlan = 5;
    real_server(odd, 2).up = false;
    ASSERT_TRUE(shared_->set_device(static_cast<PortIndex>(1), 1));
    auto loaded = XdpProgram::load(*shared_, {.short_way = false});
    ASSERT_TRUE(loaded) << loaded.error().message;
    other_.emplace(std::move(*loaded));
    ASSERT_TRUE(other_->set_mac(kPortMac));
    ASSERT_TRUE(other_->set_socket(0, worker_.get()));
    std::swap(program_, other_);
    set_engine(LB_ENGINE_HYBRID);
    std::swap(program_, other_);
  }
  RealServer& real_server(const Service& service, std::uint32_t i) {
    return world_->spec().real_servers[service.rs_first + i];
  }
  /// What the fast path counted of services and real servers.
  std::vector<std::uint64_t> counted() {
    Counters now(kSizes.services_max, kSizes.rs_max);
    shared_->read_counters(now);
    std::vector<std::uint64_t> values;
    for (std::uint32_t i = 0; i < kSizes.services_max; ++i) {
      const ServiceCounters& of = now.services[i];
      for (const Counter* one : {&of.packets, &of.bytes, &of.new_flows, &of.unknown_flows,
                                 &of.drops, &of.unprotected, &of.unremembered}) {
        values.push_back(one->get());
      }
    }
    for (std::uint32_t i = 0; i < kSizes.rs_max; ++i) {
      const RsCounters& of = now.rs[i];
      for (const Counter* one : {&of.packets, &of.bytes, &of.new_flows}) {
        values.push_back(one->get());
      }
    }
    return values;
  }
  /// How a packet went, and by how much each counter rose.
  struct Run {
    XdpOutcome outcome;
    std::vector<std::uint64_t> counted;
  };
  Run run_counted(const Bytes& frame) {
    auto before = counted();
    Run run{outcome(frame), counted()};
    std::ranges::transform(run.counted, before, run.counted.begin(), std::minus<>());
    return run;
  }
  /// The slot of the real server that a worker would choose for a flow of service `index`.
  template <class Key>
  std::uint32_t chosen(std::size_t index, const Key& key) {
    const Service& service = table_->services()[index];
    const lb_hash_key& secret = table_->flow_key();
    const auto slot = slot_of_flow(service, *service.table, key, flow_hash(key, secret), secret);
    return slot_of(service.members.at(service.table->hot(slot) & LB_SLOT_OWNER));
  }
  /// Packets on both ways: they go alike, with the same bytes and counters.
  void compare(class NearlyCommon& packets, int rounds);
  std::optional<XdpProgram> other_;  ///< without the short way
  std::map<std::string, int> went_;  ///< packets by outcome
};

/// Packets of which most are common, and the rest only just not.
class NearlyCommon {
 public:
  explicit NearlyCommon(unsigned seed) : random_(seed) {}

  Bytes next() {
    const bool v4 = one_of(2) == 0;
    PacketBuilder packet(
        v4 ? any({kClient, kClient, kClient, "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1",
                  "255.255.255.255", "223.255.255.255", kVip})
           : any({kClient6, kClient6, kClient6, "::", "::1", "ff02::1", "::7", kVip6}),
        v4 ? any({kVip, kVip, kVip, "192.0.2.20", "192.0.2.99"}) : kVip6);
    packet.ethernet(one_of(20) == 0   ? test::mac("02:00:00:00:00:ff")
                    : one_of(20) == 0 ? test::mac("00:00:5e:00:01:07")
                    : one_of(20) == 0 ? test::mac("00:00:5e:00:02:07")
                                      : kPortMac,
                    kPeerMac);
    packet.ttl(one_of(10) == 0 ? any<std::uint8_t>({0, 1, 2, 255}) : 64);
    const auto from = static_cast<std::uint16_t>(one_of(50) == 0 ? 0 : 1 + one_of(65535));
    const auto port = any<std::uint16_t>({80, 80, 80, 81, 82, 83, 84, 85, 86, 8050, 99, 0});
    if (one_of(3) == 0) {
      packet.udp(from, port);
    } else {
      packet.tcp(from, port, static_cast<std::uint8_t>(one_of(2) == 0 ? 0x10 : one_of(64)));
    }
    packet.payload(one_of(20) == 0 ? 1440 + one_of(40) : one_of(60));
    Bytes frame = packet.build();
    if (one_of(8) == 0) frame[14 + one_of(frame.size() - 14)] ^= 1U << one_of(8);
    if (one_of(12) == 0) frame.resize(14 + one_of(frame.size() - 13));
    if (one_of(12) == 0) frame.resize(frame.size() + one_of(20));
    return frame;
  }

 private:
  std::uint32_t one_of(std::size_t count) { return static_cast<std::uint32_t>(random_() % count); }
  template <class T>
  T any(std::initializer_list<T> values) {
    return values.begin()[one_of(values.size())];
  }
  std::mt19937 random_;
};

void ShortWay::compare(NearlyCommon& packets, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const Bytes frame = packets.next();
    Run here = run_counted(frame);
    std::swap(program_, other_);
    Run there = run_counted(frame);
    std::swap(program_, other_);
    const std::string what = here.outcome.what;
    ASSERT_EQ(what, there.outcome.what) << round << " " << testing::PrintToString(frame);
    ASSERT_EQ(here.outcome.reason, there.outcome.reason) << round;
    ASSERT_EQ(here.outcome.alone, there.outcome.alone) << round;
    ASSERT_EQ(here.outcome.bytes, there.outcome.bytes) << round;
    ASSERT_EQ(here.counted, there.counted) << round << " " << what;
    ++went_[what == "redirect" ? "tx" : what];
  }
}

TEST_P(ShortWay, DecidesAsTheLongWay) {
  NearlyCommon packets(20'261'128);
  ASSERT_NO_FATAL_FAILURE(compare(packets, kRounds));
  EXPECT_GT(went_["tx"], kRounds / 10);
  EXPECT_GT(went_["af_xdp"], kRounds / 100);
  EXPECT_GT(went_["pass"], kRounds / 50);
  EXPECT_LT(went_["tx"] + went_["af_xdp"] + went_["pass"], kRounds - kRounds / 50) << "dropped";
}

TEST_P(ShortWay, IsTakenOnlyWhereTheSettingsAllowIt) {
  using Set = std::function<Status(XdpProgram&)>;
  const auto forwarding = [](lb_engine engine, std::uint32_t sends) -> Set {
    return [=](XdpProgram& program) {
      return program.set_forwarding(
          {.port = PortIndex{}, .engine = engine, .sends = sends, .stale_ms = 60'000});
    };
  };
  const auto mac = [](const MacAddr& address) -> Set {
    return [=](XdpProgram& program) { return program.set_mac(address); };
  };
  const auto panic = [](bool on) -> Set {
    return [=](XdpProgram& program) { return program.set_panic(on); };
  };
  NearlyCommon packets(7);
  for (const auto& [name, sets] : std::vector<std::pair<const char*, std::vector<Set>>>{
           {"panic", {panic(true)}},
           {"panic, then another MAC", {mac(test::mac("02:00:00:00:00:ff"))}},
           {"another MAC", {panic(false)}},
           {"any MAC", {mac({})}},
           {"afxdp", {forwarding(LB_ENGINE_AFXDP, ~0U), mac(kPortMac)}},
           {"sends to nobody", {forwarding(LB_ENGINE_HYBRID, 0)}},
           {"sends to itself", {forwarding(LB_ENGINE_HYBRID, 1)}},
           {"sends to another", {forwarding(LB_ENGINE_HYBRID, 2)}},
           {"all again", {forwarding(LB_ENGINE_HYBRID, ~0U)}}}) {
    SCOPED_TRACE(name);
    for (const Set& set : sets) {
      ASSERT_TRUE(set(*program_));
      ASSERT_TRUE(set(*other_));
    }
    went_.clear();
    ASSERT_NO_FATAL_FAILURE(compare(packets, kRounds / 40));
  }
  EXPECT_GT(went_["tx"], kRounds / 400);
  world_->spec().decrement_ttl = false;
  install();
  ASSERT_NO_FATAL_FAILURE(compare(packets, kRounds / 40));
}

TEST_P(ShortWay, ChoosesTheSlotThatAWorkerWould) {
  std::set<std::uint32_t> met;
  for (std::uint16_t from = 1000; from < 1200; ++from) {
    FlowKey4 v4{.client = test::ip(kClient).as_v4(),
                .vip = test::ip(kVip).as_v4(),
                .client_port = Be16::from_host(from),
                .vip_port = {},
                .proto = 6};
    FlowKey6 v6{.client_port = Be16::from_host(from), .vip_port = Be16::from_host(80), .proto = 6};
    std::memcpy(v6.client, test::ip(kClient6).data(), 16);
    std::memcpy(v6.vip, test::ip(kVip6).data(), 16);
    for (int way = 0; way < 2; ++way, std::swap(program_, other_)) {
      for (auto [port, service] :
           {std::pair<std::uint16_t, std::size_t>{80, 0}, {81, 4}, {82, 5}}) {
        v4.vip_port = Be16::from_host(port);
        XdpOutcome out = outcome(PacketBuilder(XdpProgramRun::v4()).tcp(from, port, 0x10).build());
        ASSERT_EQ(out.what, "tx");
        ASSERT_EQ(out.bytes.at(5), chosen(service, v4)) << from << " port " << port;
        met.insert(out.bytes.at(5));
      }
      XdpOutcome out = outcome(PacketBuilder(XdpProgramRun::v6()).tcp(from, 80, 0x10).build());
      ASSERT_EQ(out.what, "tx");
      ASSERT_EQ(out.bytes.at(5), chosen(2, v6)) << from;
      met.insert(out.bytes.at(5));
    }
  }
  EXPECT_GE(met.size(), 11U) << "all of the two services spread by flow, one each of the others";
}

INSTANTIATE_TEST_SUITE_P(Hashes, ShortWay, testing::Values(LB_HASH_MULTIPLY_MIX, LB_HASH_SIPHASH),
                         [](const auto& of) {
                           return of.param == LB_HASH_SIPHASH ? "SipHash" : "MultiplyMix";
                         });

}  // namespace
}  // namespace lb
