// SPDX-License-Identifier: Apache-2.0
// The XDP program's verdict and reason for every kind of packet.
#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

TEST_F(XdpProgramRun, HandsOverWhatAServiceTakes) {
  EXPECT_EQ(run(v4().tcp(1234, 80, kSyn)), "af_xdp");
  EXPECT_EQ(run(v4().udp(1234, 8000)), "af_xdp");
  EXPECT_EQ(run(v4().udp(1234, 8100)), "af_xdp");
  EXPECT_EQ(run(v4(kPassVip).sctp(1, 65535)), "af_xdp");
  EXPECT_EQ(run(v6().tcp(1234, 443, kSyn)), "af_xdp");
  EXPECT_EQ(run(v6().udp(1234, 53).payload(100)), "af_xdp");
}

TEST_F(XdpProgramRun, PassesWhatIsNotForAVip) {
  EXPECT_EQ(run(v4("192.0.2.99").tcp(1234, 80, kSyn)), "pass");
  EXPECT_EQ(run(PacketBuilder(kClient6, "2001:db8::99").ethernet(kPortMac, kPeerMac).udp(1, 53)),
            "pass");
  Bytes arp(60);
  std::ranges::copy(kPortMac.bytes, arp.begin());
  arp[12] = 0x08;
  arp[13] = 0x06;
  EXPECT_EQ(run(arp), "pass");
}

TEST_F(XdpProgramRun, PassesFramesForAnotherMachine) {
  EXPECT_EQ(run(v4().ethernet(kPeerMac, kPortMac).tcp(1234, 80, kSyn)), "pass");
  EXPECT_EQ(run(v4().ethernet(test::mac("00:00:5e:00:01:05"), kPeerMac).tcp(1234, 80, kSyn)),
            "af_xdp")
      << "VRRP's virtual MAC is ours";
  ASSERT_TRUE(program_->set_mac(MacAddr{}));
  EXPECT_EQ(run(v4().ethernet(kPeerMac, kPortMac).tcp(1234, 80, kSyn)), "af_xdp");
}

TEST_F(XdpProgramRun, TreatsUnmatchedPortsAsTheVipSays) {
  EXPECT_EQ(run(v4().tcp(1234, 81, kSyn)), "vip_unmatched");
  EXPECT_EQ(run(v4().udp(1234, 7999)), "vip_unmatched");
  EXPECT_EQ(run(v4().udp(1234, 8101)), "vip_unmatched");
  EXPECT_EQ(run(v4().udp(1234, 0)), "vip_unmatched") << "the ranges' key is no port";
  EXPECT_EQ(run(v4().protocol(47, Bytes(8))), "vip_unmatched");
  EXPECT_EQ(run(v4(kPassVip).tcp(1234, 80, kSyn)), "pass");
  EXPECT_EQ(run(v6().tcp(1234, 80, kSyn)), "vip_unmatched");
}

TEST_F(XdpProgramRun, KnowsUpToTwoVlanTags) {
  EXPECT_EQ(run(v4().vlan(5).tcp(1234, 80, kSyn)), "af_xdp");
  EXPECT_EQ(run(v4().vlan(5, 0x88a8).vlan(7).tcp(1234, 80, kSyn)), "af_xdp");
  EXPECT_EQ(run(v4().vlan(5).vlan(6).vlan(7).tcp(1234, 80, kSyn)), "vlan_depth");
  EXPECT_EQ(run(v6().vlan(5).vlan(6).vlan(7).tcp(1234, 443, kSyn)), "vlan_depth");
  EXPECT_EQ(run(v4("192.0.2.99").vlan(5).vlan(6).vlan(7).tcp(1234, 80, kSyn)), "pass");
  EXPECT_EQ(run(v4().vlan(5).vlan(6).vlan(7).vlan(8).tcp(1234, 80, kSyn)), "pass");
  EXPECT_EQ(run(v6().vlan(5).tcp(1234, 443, kSyn)), "af_xdp");
}

TEST_F(XdpProgramRun, ReadsPastOptionsAndExtensionHeaders) {
  EXPECT_EQ(run(v4().options(Bytes(40, 1)).tcp(1234, 80, kSyn)), "af_xdp");
  EXPECT_EQ(run(v6().ext(0).ext(60, 3).ext(43, 2).ext(51, 4).tcp(1234, 443, kSyn)), "af_xdp");
  EXPECT_EQ(run(v6().ext(0).ext(60, 3).tcp(1234, 444, kSyn)), "vip_unmatched");
  auto many = v6();
  for (int i = 0; i < LB_EXT_HEADERS_MAX; ++i) many.ext(60);
  EXPECT_EQ(run(PacketBuilder(many).tcp(1234, 443, kSyn)), "af_xdp");
  EXPECT_EQ(run(many.ext(60).tcp(1234, 443, kSyn)), "ext_headers");
}

TEST_F(XdpProgramRun, HandsFragmentsOver) {
  EXPECT_EQ(run(v4().udp(1234, 8000).payload(64).fragment(0, true)), "af_xdp");
  EXPECT_EQ(run(v4().udp(1234, 8000).payload(64).fragment(1480, false)), "af_xdp");
  EXPECT_EQ(run(v6().fragment(0, true).udp(1234, 53).payload(64)), "af_xdp");
  EXPECT_EQ(run(v6().fragment(1232, false).udp(1234, 53).payload(64)), "af_xdp");
}

TEST_F(XdpProgramRun, LaterFragmentsFollowTheirFirstOneToTheKernel) {
  EXPECT_EQ(run(v4(kPassVip).udp(1234, 53).payload(64).fragment(0, true)), "pass");
  EXPECT_EQ(run(v4(kPassVip).udp(1234, 53).payload(64).fragment(1480, false)), "pass");
  EXPECT_EQ(run(v4(kPassVip).tcp(1234, 53, kSyn).payload(64).fragment(1480, true)), "pass");
  EXPECT_EQ(run(v4(kPassVip).protocol(132, Bytes(64)).fragment(1480, false)), "af_xdp")
      << "a service takes SCTP";
  world_->vip_at(kVip6).pass_unmatched = true;
  install();
  EXPECT_EQ(run(v6().fragment(1232, false).protocol(132, Bytes(64))), "pass");
  EXPECT_EQ(run(v6().fragment(1232, false).udp(1234, 54).payload(64)), "af_xdp");
  EXPECT_EQ(run(v6().fragment(1232, false).ext(60).protocol(132, Bytes(64))), "af_xdp")
      << "what follows the extension header lies in the first fragment";
}

TEST_F(XdpProgramRun, HandlesIcmp) {
  EXPECT_EQ(run(v4().echo_request(1, 1).payload(56)), "af_xdp");
  EXPECT_EQ(run(v4(kPassVip).echo_request(1, 1)), "pass") << "icmp_echo = pass";
  EXPECT_EQ(run(v4().icmp(3, 4).payload(28)), "af_xdp");
  EXPECT_EQ(run(v4().icmp(11, 0).payload(28)), "af_xdp");
  EXPECT_EQ(run(v4().icmp(13, 0).payload(28)), "vip_unmatched");
  EXPECT_EQ(run(v4().echo_request(1, 1).payload(56).fragment(0, true)), "pass");
  EXPECT_EQ(run(v6().echo_request(1, 1)), "af_xdp");
  EXPECT_EQ(run(v6().icmp(2, 0).payload(48)), "af_xdp");
  EXPECT_EQ(run(v6().icmp(135, 0).payload(16)), "pass") << "neighbour solicitation";
}

TEST_F(XdpProgramRun, DropsWrongIpHeaders) {
  auto frame = v4().tcp(1234, 80, kSyn).build();
  for (std::uint8_t first : {0x35, 0x55, 0x40, 0x44}) {
    auto bad = frame;
    bad[14] = first;
    EXPECT_EQ(run(bad), "bad_ip_header") << int{first};
  }
  auto shorter = frame;
  test::set16(shorter, 16, 19);
  EXPECT_EQ(run(shorter), "bad_ip_header");
  auto longer = frame;
  test::set16(longer, 16, 41);
  EXPECT_EQ(run(longer), "truncated");
  auto six = v6().tcp(1234, 443, kSyn).build();
  six[14] = 0x70;
  EXPECT_EQ(run(six), "bad_ip_header");
}

TEST_F(XdpProgramRun, DropsOrPassesEveryTruncation) {
  const Bytes frames[] = {
      v4().vlan(5).options(Bytes(8, 1)).tcp(1234, 80, kSyn).build(),
      v4().echo_request(1, 1).build(),
      v6().ext(0).ext(60, 2).tcp(1234, 443, kSyn).build(),
      v6().icmp(1, 0).payload(48).build(),
  };
  for (const Bytes& frame : frames) {
    ASSERT_EQ(run(frame), "af_xdp");
    for (std::size_t bytes = 14; bytes < frame.size(); ++bytes) {
      auto outcome = run(Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes)));
      EXPECT_TRUE(outcome == "truncated" || outcome == "pass") << bytes << ": " << outcome;
    }
  }
}

TEST_F(XdpProgramRun, PanicPassesEverything) {
  ASSERT_TRUE(program_->set_panic(true));
  EXPECT_EQ(run(v4().tcp(1234, 80, kSyn)), "panic");
  EXPECT_EQ(run(v4().tcp(1234, 81, kSyn)), "panic");
  ASSERT_TRUE(program_->set_panic(false));
  EXPECT_EQ(run(v4().tcp(1234, 80, kSyn)), "af_xdp");
}

TEST_F(XdpProgramRun, ForgetsADeletedVip) {
  world_->remove_services_of(kVip);
  install();
  EXPECT_EQ(run(v4().tcp(1234, 80, kSyn)), "vip_unmatched");
  std::erase_if(world_->spec().vips,
                [](const VipPolicy& vip) { return vip.address == test::ip(kVip); });
  install();
  EXPECT_EQ(run(v4().tcp(1234, 80, kSyn)), "pass");
}

TEST_F(XdpProgramRun, SharesServicesAmongPorts) {
  auto second = XdpProgram::load(*shared_);
  ASSERT_TRUE(second) << second.error().message;
  world_->remove_services_of(kVip);
  install();
  EXPECT_EQ(run(v4().tcp(1234, 80, kSyn)), "vip_unmatched");
  EXPECT_EQ(second->counters().drops[static_cast<std::size_t>(DropReason::VipUnmatched)], 0U);
}

}  // namespace
}  // namespace lb
