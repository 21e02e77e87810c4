// SPDX-License-Identifier: Apache-2.0
// XdpProgramRun: the XDP program with a few services, run over frames by BPF_PROG_TEST_RUN. No
// socket is bound, so "handed to AF_XDP" shows as a drop with the reason no_socket.
#pragma once

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/io/xdp_program.h"
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

inline lb_vip_key vip_key(const char* vip, std::uint8_t proto, std::uint16_t port) {
  lb_vip_key key{};
  IpAddr address = test::ip(vip);
  std::memcpy(key.addr, address.data(), 16);
  key.family = static_cast<std::uint8_t>(address.family());
  key.proto = proto;
  key.port_be = Be16::from_host(port).raw();
  return key;
}

class XdpProgramRun : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = XdpProgram::load(nullptr);
    ASSERT_TRUE(loaded) << loaded.error().message;
    program_.emplace(std::move(*loaded));
    ASSERT_TRUE(program_->set_mac(kPortMac));
    put(kVip, 0, 0, LB_VIP_ECHO_REPLY);
    put(kVip, 6, 80);
    put(kVip, 17, 0, 0, {{8000, 8100}});
    put(kPassVip, 0, 0, LB_VIP_PASS_UNMATCHED);
    put(kPassVip, 132, 0, 0, {{1, 65535}});
    put(kVip6, 0, 0, LB_VIP_ECHO_REPLY);
    put(kVip6, 6, 443);
    put(kVip6, 17, 53);
  }

  void put(const char* vip, std::uint8_t proto, std::uint16_t port, std::uint32_t flags = 0,
           std::vector<lb_port_range> ranges = {}) {
    lb_vip_value value{};
    value.flags = flags;
    value.range_count = static_cast<std::uint32_t>(ranges.size());
    std::ranges::copy(ranges, value.ranges);
    ASSERT_TRUE(program_->put_vip(vip_key(vip, proto, port), value));
  }

  /// "pass", "panic", "af_xdp" or the name of the drop reason; checks that verdict and counter
  /// agree.
  std::string run(Bytes frame) {
    auto before = program_->counters();
    Bytes out(frame.size() + 256);
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_out = out.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.data_size_out = static_cast<__u32>(out.size());
    EXPECT_EQ(bpf_prog_test_run_opts(*program_->object().program_fd("lb_xdp"), &options), 0);
    EXPECT_EQ(options.data_size_out, frame.size());
    EXPECT_TRUE(std::equal(frame.begin(), frame.end(), out.begin())) << "the frame was changed";
    auto after = program_->counters();
    if (after.passed != before.passed) return options.retval == XDP_PASS ? "pass" : "wrong";
    if (after.panic_passed != before.panic_passed)
      return options.retval == XDP_PASS ? "panic" : "wrong";
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (after.drops[i] == before.drops[i]) continue;
      if (options.retval != XDP_DROP) return "wrong";
      auto reason = static_cast<DropReason>(i);
      return reason == DropReason::NoSocket ? "af_xdp" : std::string(drop_reason_name(reason));
    }
    return "uncounted";
  }
  std::string run(const PacketBuilder& packet) { return run(packet.build()); }

  static PacketBuilder v4(const char* vip = kVip) {
    return PacketBuilder(kClient, vip).ethernet(kPortMac, kPeerMac);
  }
  static PacketBuilder v6() { return PacketBuilder(kClient6, kVip6).ethernet(kPortMac, kPeerMac); }

  std::optional<XdpProgram> program_;
};

}  // namespace lb
