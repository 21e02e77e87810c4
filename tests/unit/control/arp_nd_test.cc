// SPDX-License-Identifier: Apache-2.0
#include "control/arp_nd.h"

#include <gtest/gtest.h>

namespace lb {
namespace {

constexpr MacAddr kOwn{{2, 0, 0, 0, 0, 1}};
constexpr MacAddr kPeer{{2, 0, 0, 0, 0, 5}};
IpAddr ip(const std::string& text) { return *IpAddr::parse(text); }

/// The reply that a peer would send to our request.
Frame arp_reply(std::uint16_t vlan) {
  Frame frame = resolve_frame(kPeer, ip("10.0.0.5"), ip("10.0.0.1"), vlan);
  frame[(vlan != 0 ? 18 : 14) + 7] = 2;
  return frame;
}

TEST(ArpNd, RequestIsABroadcastWithBothAddresses) {
  Frame frame = resolve_frame(kOwn, ip("10.0.0.1"), ip("10.0.0.5"), 0);
  Frame expected = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 0x08, 0x06,
                    0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0,    1,
                    10,   0,    0,    1,    0,    0,    0, 0, 0, 0, 10, 0, 0,    5};
  EXPECT_EQ(frame, expected);
}

TEST(ArpNd, TagStandsAfterTheMacs) {
  Frame frame = resolve_frame(kOwn, ip("10.0.0.1"), ip("10.0.0.5"), 100);
  ASSERT_EQ(frame.size(), 46U);
  EXPECT_EQ(frame[12], 0x81);
  EXPECT_EQ(frame[15], 100);
  EXPECT_EQ(frame[16], 0x08);
  EXPECT_EQ(frame[17], 0x06);
}

TEST(ArpNd, SolicitationGoesToTheSolicitedNodeGroup) {
  Frame frame = resolve_frame(kOwn, ip("fe80::1"), ip("2001:db8::aabb:ccdd"), 0);
  MacAddr to;
  std::copy_n(frame.begin(), 6, to.bytes.begin());
  EXPECT_EQ(to.to_string(), "33:33:ff:bb:cc:dd");
  EXPECT_EQ(IpAddr::v6(frame.data() + 14 + 24), ip("ff02::1:ffbb:ccdd"));
  EXPECT_EQ(frame.size(), 14U + 40 + 24 + 8);
  Frame probe = resolve_frame(kOwn, ip("::"), ip("2001:db8::1"), 0);
  EXPECT_EQ(probe.size(), 14U + 40 + 24)
      << "an unspecified source carries no option (RFC 4861 4.3)";
}

TEST(ArpNd, ReadsAnArpReplyTaggedOrNot) {
  for (std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{100}}) {
    auto answer = parse_resolve_answer(arp_reply(vlan));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->address, ip("10.0.0.5"));
    EXPECT_EQ(answer->mac, kPeer);
    EXPECT_EQ(answer->vlan, vlan);
  }
}

TEST(ArpNd, ReadsItsOwnAnnouncementAsAnAdvertisement) {
  auto answer = parse_resolve_answer(announce_frame(kPeer, ip("2001:db8::10"), 7));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->address, ip("2001:db8::10"));
  EXPECT_EQ(answer->mac, kPeer);
  EXPECT_EQ(answer->vlan, 7);
}

TEST(ArpNd, RefusesRequestsAndGratuitousArp) {
  EXPECT_FALSE(parse_resolve_answer(resolve_frame(kOwn, ip("10.0.0.1"), ip("10.0.0.5"), 0)));
  EXPECT_FALSE(parse_resolve_answer(announce_frame(kOwn, ip("10.0.0.1"), 0)));
  EXPECT_FALSE(parse_resolve_answer(resolve_frame(kOwn, ip("fe80::1"), ip("fe80::2"), 0)));
}

TEST(ArpNd, RefusesEveryTruncation) {
  for (const Frame& whole :
       {arp_reply(0), arp_reply(9), announce_frame(kPeer, ip("2001:db8::10"), 0)}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(parse_resolve_answer({whole.data(), length})) << length;
    }
  }
}

TEST(ArpNd, RefusesAnAdvertisementWithAnyBitWrong) {
  Frame whole = announce_frame(kPeer, ip("2001:db8::10"), 0);
  for (std::size_t byte = 14 + 6; byte < whole.size(); ++byte) {
    Frame damaged = whole;
    damaged[byte] ^= 1;
    EXPECT_FALSE(parse_resolve_answer(damaged)) << "byte " << byte;
  }
}

TEST(ArpNd, AnOptionOfLengthZeroEndsTheSearch) {
  Frame whole = announce_frame(kPeer, ip("2001:db8::10"), 0);
  whole[14 + 40 + 24 + 1] = 0;
  EXPECT_FALSE(parse_resolve_answer(whole));
}

}  // namespace
}  // namespace lb
