// SPDX-License-Identifier: Apache-2.0
// XdpProgramRun: the XDP program over a few services, run over frames by BPF_PROG_TEST_RUN. A
// socket that is bound to nothing stands for the worker, so that hand-overs show as such.
#pragma once

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"
#include "dataplane/table/slot_plan.h"
#include "tests/support/name_members.h"
#include "tests/support/packet_builder.h"

namespace lb {

using test::Bytes;
using test::kSyn;
using test::PacketBuilder;

inline constexpr const char* kClient = "198.51.100.7";
inline constexpr const char* kVip = "192.0.2.10";
inline constexpr const char* kPassVip = "192.0.2.11";
inline constexpr const char* kClient6 = "2001:db8:1::7";
inline constexpr const char* kVip6 = "2001:db8::10";
inline const MacAddr kPortMac = test::mac("02:00:00:00:00:aa");
inline const MacAddr kPeerMac = test::mac("02:00:00:00:00:bb");

/// What can be asked of a FastPath: services, each with one RS, and what the index is built of.
class FastWorld {
 public:
  explicit FastWorld(TableMemory& memory, lb_hash_kind hash = LB_HASH_MULTIPLY_MIX)
      : memory_(memory) {
    spec_.ports = {{kPortMac, 1500, true}, {test::mac("02:00:00:00:00:ab"), 1500, true}};
    spec_.flow_key = {0x1234567890abcdef, 0xfedcba0987654321, hash};
  }
  VipPolicy& vip(const char* address, bool pass_unmatched = false, bool echo_reply = true) {
    spec_.vips.push_back({test::ip(address), pass_unmatched, echo_reply});
    return spec_.vips.back();
  }
  VipPolicy& vip_at(const char* address) {
    return *std::ranges::find(spec_.vips, test::ip(address), &VipPolicy::address);
  }
  /// A service and its real servers: up, weight 1, out by the port `egress`.
  Service& service(std::string_view address, Scheduler scheduler, int servers = 1,
                   unsigned egress = 0) {
    Service service;
    service.address = *ServiceAddr::parse(address);
    service.scheduler = scheduler;
    service.id = make_service_id(static_cast<std::uint32_t>(spec_.services.size()), 1);
    service.hash_key = 0x5eed + spec_.services.size();
    service.rs_first = static_cast<std::uint32_t>(spec_.real_servers.size());
    service.rs_count = static_cast<std::uint32_t>(servers);
    for (int i = 0; i < servers; ++i) {
      const auto slot = static_cast<std::uint32_t>(spec_.real_servers.size());
      RealServer rs;
      rs.id = make_rs_id(slot, 1);
      rs.mac = {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(slot)}};
      rs.has_mac = rs.up = true;
      rs.weight = 1;
      rs.egress = static_cast<PortIndex>(egress);
      rs.address =
          test::ip((service.address.vip.is_v4() ? "10.0.0." : "fd00::") + std::to_string(slot + 1));
      spec_.real_servers.push_back(rs);
    }
    spec_.services.push_back(service);
    return spec_.services.back();
  }
  void remove_services_of(const char* vip) {
    std::erase_if(spec_.services, [&](const Service& s) { return s.address.vip == test::ip(vip); });
  }
  ServiceTableSpec& spec() { return spec_; }

  /// The table of a service by a plan; members are its real servers in order.
  std::shared_ptr<TableObject> table_of(const Service& service, const SlotPlan& plan) {
    auto made = memory_.make(plan.slots(), service.rs_count);
    EXPECT_TRUE(made) << made.error().message;
    TableObject& table = **made;
    plan.write(table);
    table.head().members = service.rs_count;
    for (std::uint32_t i = 0; i < service.rs_count; ++i) {
      const RealServer& rs = spec_.real_servers[service.rs_first + i];
      const EgressPort& port = spec_.ports[raw(rs.egress)];
      lb_rs_entry& entry = table.members()[i];
      entry.place = i + 1;
      std::ranges::copy(rs.mac.bytes, entry.macs);
      std::ranges::copy(port.mac.bytes, entry.macs + 6);
      entry.vlan = rs.vlan;
      entry.egress = raw(rs.egress);
      entry.mtu = static_cast<std::uint16_t>(port.mtu);
      entry.flags = static_cast<std::uint16_t>(
          (rs.up ? LB_RS_UP : 0U) | (rs.weight == 0 ? LB_RS_DRAINS : 0U) |
          (rs.has_mac ? LB_RS_HAS_MAC : 0U) | (port.up ? LB_RS_EGRESS_UP : 0U));
    }
    return *made;
  }
  /// Owners in turn.
  static SlotPlan in_turn(const Service& service, std::uint32_t slots = 251) {
    std::vector<std::uint16_t> owners(slots);
    for (std::uint32_t i = 0; i < slots; ++i) {
      owners[i] = static_cast<std::uint16_t>(i % service.rs_count);
    }
    return SlotPlan(std::move(owners));
  }
  /// Gives every service without one a table with owners in turn.
  std::unique_ptr<ServiceTable> build() {
    for (Service& service : spec_.services) {
      if (!service.table) service.table = table_of(service, in_turn(service));
      test::name_members(spec_, service);
    }
    auto table = ServiceTable::build(spec_);
    EXPECT_TRUE(table) << table.error().message;
    return std::move(*table);
  }

 private:
  TableMemory& memory_;
  ServiceTableSpec spec_;
};

/// Where a frame went.
struct XdpOutcome {
  std::string what;    ///< "pass", "panic", "af_xdp", "tx", "redirect" or the drop reason
  std::string reason;  ///< of "af_xdp": why it was handed over
  bool alone = false;
  Bytes bytes;
};

class XdpProgramRun : public testing::Test {
 protected:
  static constexpr FastPathSizes kSizes{
      .services_max = 16, .rs_max = 64, .queues = 1, .buckets4 = 64, .buckets6 = 64};

  void SetUp() override {
    FastPathSizes sizes = kSizes;
    sizes.hash = hash();
    auto shared = FastPath::create(sizes);
    ASSERT_TRUE(shared) << shared.error().message;
    shared_ = std::move(*shared);
    auto loaded = XdpProgram::load(*shared_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    program_.emplace(std::move(*loaded));
    ASSERT_TRUE(program_->set_mac(kPortMac));
    set_engine(LB_ENGINE_AFXDP);
    start_worker();
    world_.emplace(*shared_, hash());
    fill();
    install();
  }
  [[nodiscard]] virtual lb_hash_kind hash() const { return LB_HASH_MULTIPLY_MIX; }
  virtual void fill() {
    world_->vip(kVip);
    world_->vip(kPassVip, true, false);
    world_->vip(kVip6);
    world_->service("192.0.2.10:80/tcp", Scheduler::Mh);
    world_->service("192.0.2.10:8000-8100/udp", Scheduler::Mh);
    world_->service("192.0.2.11:any/sctp", Scheduler::Mh);
    world_->service("[2001:db8::10]:443/tcp", Scheduler::Mh);
    world_->service("[2001:db8::10]:53/udp", Scheduler::Mh);
  }
  void install() {
    table_ = world_->build();
    auto installed = shared_->install(*table_);
    ASSERT_TRUE(installed) << installed.error().message;
    shared_->forget_others(*table_);
  }
  void set_engine(lb_engine engine, std::uint32_t sends = ~0U) {
    ASSERT_TRUE(program_->set_forwarding(
        {.port = PortIndex{}, .engine = engine, .sends = sends, .stale_ms = 60'000}));
  }
  void start_worker() {
    worker_.reset(socket(AF_XDP, SOCK_RAW, 0));
    int entries = 64;
    ASSERT_EQ(setsockopt(worker_.get(), SOL_XDP, XDP_RX_RING, &entries, sizeof entries), 0);
    ASSERT_TRUE(program_->set_socket(0, worker_.get()));
    beat(tick_ms_now());
  }
  void stop_worker() {
    ASSERT_TRUE(program_->set_socket(0, -1));
    worker_.reset();
  }
  void beat(TickMs tick) { __atomic_store_n(shared_->beat(0), tick, __ATOMIC_RELAXED); }

  XdpOutcome outcome(const Bytes& frame) {
    auto before = program_->counters();
    XdpOutcome result;
    result.bytes.resize(frame.size() + 256);
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_out = result.bytes.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.data_size_out = static_cast<__u32>(result.bytes.size());
    EXPECT_EQ(bpf_prog_test_run_opts(*program_->object().program_fd("lb_xdp"), &options), 0);
    result.bytes.resize(options.data_size_out);
    explain(before, program_->counters(), options.retval, result);
    if (result.what == "af_xdp") take_meta(result);
    return result;
  }
  /// What happened; that nothing but a sent frame was changed is checked.
  std::string run(const Bytes& frame) {
    XdpOutcome result = outcome(frame);
    if (result.what != "tx" && result.what != "redirect") {
      EXPECT_EQ(result.bytes, frame) << "the frame was changed";
    }
    return result.what;
  }
  std::string run(const PacketBuilder& packet) { return run(packet.build()); }

  static PacketBuilder v4(const char* vip = kVip) {
    return PacketBuilder(kClient, vip).ethernet(kPortMac, kPeerMac);
  }
  static PacketBuilder v6() { return PacketBuilder(kClient6, kVip6).ethernet(kPortMac, kPeerMac); }

  std::unique_ptr<FastPath> shared_;
  std::optional<XdpProgram> program_;
  std::optional<FastWorld> world_;
  std::unique_ptr<ServiceTable> table_;
  Fd worker_;

 private:
  static void explain(const XdpProgram::CounterValues& before,
                      const XdpProgram::CounterValues& after, std::uint32_t verdict,
                      XdpOutcome& result) {
    int found = 0;
    auto is = [&](std::uint64_t then, std::uint64_t now, std::uint32_t expected,
                  std::string_view what) {
      if (then == now) return;
      ++found;
      result.what = verdict == expected && now == then + 1 ? what : "wrong";
    };
    result.what = "uncounted";
    is(before.passed, after.passed, XDP_PASS, "pass");
    is(before.panic_passed, after.panic_passed, XDP_PASS, "panic");
    is(before.sent, after.sent, XDP_TX, "tx");
    is(before.redirected, after.redirected, XDP_REDIRECT, "redirect");
    for (std::size_t i = 0; i < LB_HAND_REASON_COUNT; ++i) {
      if (before.handed[i] != after.handed[i]) result.reason = kReasons[i];
      is(before.handed[i], after.handed[i], XDP_REDIRECT, "af_xdp");
    }
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      is(before.drops[i], after.drops[i], XDP_DROP, drop_reason_name(static_cast<DropReason>(i)));
    }
    result.alone = before.alone != after.alone;
    EXPECT_EQ(found, 1) << "counted once";
  }
  /// The kernel gives metadata back before the frame.
  static void take_meta(XdpOutcome& result) {
    lb_meta meta{};
    ASSERT_GE(result.bytes.size(), sizeof meta);
    std::memcpy(&meta, result.bytes.data(), sizeof meta);
    EXPECT_EQ(meta.magic, LB_META_MAGIC);
    ASSERT_LT(meta.reason, kReasons.size());
    EXPECT_EQ(kReasons[meta.reason], result.reason);
    result.bytes.erase(result.bytes.begin(), result.bytes.begin() + sizeof meta);
  }
  static constexpr std::array<std::string_view, LB_HAND_REASON_COUNT> kReasons{
#define LB_NAME(name, text, help) text,
      LB_HAND_REASONS(LB_NAME)
#undef LB_NAME
  };
};

}  // namespace lb
