// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/icmp_reply.h"

#include <gtest/gtest.h>

#include "dataplane/packet/parse.h"
#include "tests/support/frame.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

const MacAddr kClientMac = mac("02:00:00:00:00:02");
const MacAddr kOwnMac = mac("02:00:00:00:0f:0f");

PacketBuilder packet(bool v4) {
  return v4 ? PacketBuilder("198.51.100.7", "192.0.2.10")
            : PacketBuilder("2001:db8:1::7", "2001:db8::10");
}
PacketBuilder answer(bool v4) {
  PacketBuilder builder = v4 ? PacketBuilder("192.0.2.10", "198.51.100.7")
                             : PacketBuilder("2001:db8::10", "2001:db8:1::7");
  return builder.ttl(64).id(0).dont_fragment().ethernet(kClientMac, kOwnMac);
}

struct Answered {
  bool made = true;
  Bytes bytes;
  bool in_bounds = false;
};

Answered echo(const Bytes& bytes) {
  Frame frame(bytes, 0, 0);
  Packet packet = frame.packet();
  ParsedPacket parsed;
  parse(packet.data, packet.bytes, parsed);
  EXPECT_EQ(parsed.kind, PacketKind::EchoRequest);
  make_echo_reply(packet, parsed, kOwnMac);
  return {true, bytes_of(packet), frame.intact() && frame.holds(packet)};
}

Answered time_exceeded(const Bytes& bytes, std::uint16_t headroom = 256) {
  Frame frame(bytes, headroom, 0);
  Packet packet = frame.packet();
  ParsedPacket parsed;
  parse(packet.data, packet.bytes, parsed);
  bool made = make_icmp_error(packet, parsed, kOwnMac, IcmpProblem::TimeExceeded);
  return {made, bytes_of(packet), frame.intact() && frame.holds(packet)};
}

TEST(EchoReply, IsTheReplyThatWouldHaveBeenBuilt) {
  for (bool v4 : {true, false}) {
    for (std::size_t payload : {0, 1, 56, 1400}) {
      Answered got = echo(packet(v4).ttl(3).echo_request(7, 9).payload(payload).build());
      PacketBuilder want = answer(v4);
      want.icmp(v4 ? 0 : 129, 0, 7 << 16 | 9).payload(payload);
      EXPECT_EQ(got.bytes, want.build());
      EXPECT_TRUE(got.in_bounds);
    }
  }
}

TEST(EchoReply, LeavesOptionsExtensionHeadersAndPaddingOut) {
  Answered four = echo(packet(true).options(Bytes(12, 7)).echo_request(7, 9).pad_to(99).build());
  EXPECT_EQ(four.bytes, answer(true).icmp(0, 0, 7 << 16 | 9).build());
  EXPECT_TRUE(four.in_bounds);
  Answered six = echo(packet(false).ext(0).ext(43, 4).echo_request(7, 9).pad_to(199).build());
  EXPECT_EQ(six.bytes, answer(false).icmp(129, 0, 7 << 16 | 9).build());
  EXPECT_TRUE(six.in_bounds);
}

TEST(EchoReply, KeepsTheVlanTags) {
  for (bool v4 : {true, false}) {
    Answered got = echo(packet(v4).vlan(5, 0x88a8).vlan(6).echo_request(7, 9).build());
    PacketBuilder want = answer(v4).vlan(5, 0x88a8).vlan(6);
    EXPECT_EQ(got.bytes, want.icmp(v4 ? 0 : 129, 0, 7 << 16 | 9).build());
  }
}

TEST(IcmpError, QuotesTheWholeOfAShortPacket) {
  for (bool v4 : {true, false}) {
    Bytes bytes = packet(v4).vlan(5).ttl(1).tcp(4711, 80, kSyn).payload(31).pad_to(150).build();
    std::size_t quoted = (v4 ? 40 : 60) + 31;
    PacketBuilder want = answer(v4).vlan(5).icmp(v4 ? 11 : 3, 0);
    want.payload(std::span(bytes).subspan(18, quoted));
    Answered got = time_exceeded(bytes);
    EXPECT_TRUE(got.made);
    EXPECT_EQ(got.bytes, want.build());
    EXPECT_TRUE(got.in_bounds);
  }
}

TEST(IcmpError, QuotesNoMoreThanItMay) {
  for (bool v4 : {true, false}) {
    Bytes bytes = packet(v4).ttl(1).udp(4711, 80).payload(1400).build();
    Answered got = time_exceeded(bytes);
    EXPECT_EQ(got.bytes.size(), 14U + (v4 ? 576 : 1280));
    PacketBuilder want = answer(v4).icmp(v4 ? 11 : 3, 0);
    want.payload(std::span(bytes).subspan(14, v4 ? 548 : 1232));
    EXPECT_EQ(got.bytes, want.build());
  }
}

TEST(IcmpError, IsNotMadeAboutWhatMustNotHaveOne) {
  Bytes reply = PacketBuilder("192.0.2.10", "198.51.100.7").udp(80, 4711).build();
  Bytes multicast = packet(true).ttl(1).udp(1, 2).build();
  multicast[0] |= 1;
  for (const Bytes& bytes :
       {icmp_error("203.0.113.1", reply, 3, 1, 60).ttl(1).build(),
        packet(true).ttl(1).fragment(8, false).protocol(17, Bytes(9)).build(), multicast}) {
    Answered got = time_exceeded(bytes);
    EXPECT_FALSE(got.made);
    EXPECT_EQ(got.bytes, bytes);
  }
  EXPECT_TRUE(time_exceeded(packet(true).ttl(1).fragment(0, true).udp(1, 2).build()).made);
}

TEST(IcmpError, NeedsHeadroomForItsHeaders) {
  for (bool v4 : {true, false}) {
    Bytes bytes = packet(v4).ttl(1).udp(1, 2).build();
    std::uint16_t need = v4 ? 28 : 48;
    EXPECT_TRUE(time_exceeded(bytes, need).made);
    Answered got = time_exceeded(bytes, static_cast<std::uint16_t>(need - 1));
    EXPECT_FALSE(got.made);
    EXPECT_EQ(got.bytes, bytes);
  }
}

TEST(TokenBucket, GivesItsRateAndABurstOfOneSecond) {
  TokenBucket bucket(100);
  TickMs now = 0xffffff00;  // wraps on the way
  auto drain = [&] {
    int taken = 0;
    while (bucket.take(now)) ++taken;
    return taken;
  };
  EXPECT_EQ(drain(), 100);
  now += 10;
  EXPECT_EQ(drain(), 1);
  now += 9;
  EXPECT_EQ(drain(), 0);
  now += 1;
  EXPECT_EQ(drain(), 1);
  now += 500;
  EXPECT_EQ(drain(), 50);
  now += 1'000'000;
  EXPECT_EQ(drain(), 100);
  now -= 50;
  EXPECT_EQ(drain(), 0);
}

TEST(TokenBucket, OfRateZeroGivesNothing) {
  TokenBucket bucket(0);
  EXPECT_FALSE(bucket.take(1));
  EXPECT_FALSE(bucket.take(1'000'000));
}

}  // namespace
}  // namespace lb
