// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/rewrite.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

#include "bpf/lb_abi.h"
#include "dataplane/packet/parse.h"
#include "tests/support/frame.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

const MacAddr kRsMac = mac("02:00:00:00:01:01");
const MacAddr kPortMac = mac("02:00:00:00:02:02");

RealServer real_server(std::uint16_t vlan = 0) {
  RealServer rs;
  rs.mac = kRsMac;
  rs.has_mac = rs.up = true;
  rs.vlan = vlan;
  rs.egress = static_cast<PortIndex>(3);
  return rs;
}

PacketBuilder packet(bool v4) {
  return v4 ? PacketBuilder("198.51.100.7", "192.0.2.10")
            : PacketBuilder("2001:db8:1::7", "2001:db8::10");
}

struct Rewritten {
  std::optional<DropReason> reason;
  Bytes bytes;
  PortIndex port{};
  bool in_bounds = false;
};

Rewritten rewritten(const Bytes& bytes, std::uint16_t vlan = 0, std::uint16_t headroom = 256,
                    std::uint32_t mtu = 1500, bool decrement = true) {
  Frame frame(bytes, headroom);
  Packet packet = frame.packet();
  ParsedPacket parsed;
  parse(packet.data, packet.bytes, parsed);
  auto reason = rewrite(packet, parsed, real_server(vlan), {kPortMac, mtu, true}, decrement);
  return {reason, bytes_of(packet), packet.port, frame.intact() && frame.holds(packet)};
}

// Every way to come in by every way to go out: the frame equals one built that way.
TEST(Rewrite, GivesTheFrameThatWouldHaveBeenBuilt) {
  for (bool v4 : {true, false}) {
    for (int tags = 0; tags <= 2; ++tags) {
      for (std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{7}, std::uint16_t{4094}}) {
        PacketBuilder in = packet(v4).ttl(33).tcp(4711, 80, kSyn).payload(31);
        if (tags > 0) in.vlan(5, 0x88a8);
        if (tags > 1) in.vlan(6);
        PacketBuilder out = packet(v4).ttl(32).tcp(4711, 80, kSyn).payload(31);
        if (vlan != 0) out.vlan(vlan);
        Rewritten got = rewritten(in.build(), vlan);
        EXPECT_EQ(got.reason, std::nullopt);
        EXPECT_EQ(got.bytes, out.ethernet(kRsMac, kPortMac).build()) << v4 << tags << vlan;
        EXPECT_EQ(got.port, static_cast<PortIndex>(3));
        EXPECT_TRUE(got.in_bounds);
      }
    }
  }
}

TEST(Rewrite, KeepsOptionsExtensionHeadersAndPadding) {
  for (bool v4 : {true, false}) {
    PacketBuilder builder = packet(v4).ttl(2);
    v4 ? builder.options(Bytes(12, 1)) : builder.ext(0).ext(60);
    builder.udp(1, 2).pad_to(120);
    Bytes expected = PacketBuilder(builder).ttl(1).ethernet(kRsMac, kPortMac).build();
    EXPECT_EQ(rewritten(builder.build()).bytes, expected);
  }
}

TEST(Rewrite, LeavesTheTtlWhenToldSo) {
  for (bool v4 : {true, false}) {
    PacketBuilder builder = packet(v4).ttl(1).udp(1, 2);
    Bytes expected = PacketBuilder(builder).ethernet(kRsMac, kPortMac).build();
    EXPECT_EQ(rewritten(builder.build(), 0, 256, 1500, false).bytes, expected);
  }
}

TEST(Rewrite, UpdatesTheHeaderChecksumForEveryTtl) {
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    auto ttl = static_cast<std::uint8_t>(2 + random() % 254);
    auto id = static_cast<std::uint16_t>(random());
    auto tos = static_cast<std::uint8_t>(random());
    PacketBuilder builder = packet(true).id(id).tos(tos).udp(1, 2);
    EXPECT_EQ(rewritten(builder.ttl(ttl).build()).bytes,
              builder.ttl(static_cast<std::uint8_t>(ttl - 1)).ethernet(kRsMac, kPortMac).build());
  }
}

// The XDP program's way to the same bytes, for every checksum, right or wrong.
TEST(Rewrite, LowersTheTtlAsTheXdpProgramDoes) {
  for (std::uint32_t sum = 0; sum <= 0xffff; ++sum) {
    const std::uint32_t ttl = 1 + sum * 7 % 255;
    const std::uint32_t word = sum << 16 | (sum % 3 == 0 ? 6U : 17U) << 8 | ttl;
    std::array<std::uint8_t, 20> header{};
    std::memcpy(&header[8], &word, sizeof word);
    decrement_ttl(header.data(), Family::V4);
    std::uint32_t lowered = 0;
    std::memcpy(&lowered, &header[8], sizeof lowered);
    ASSERT_EQ(lb_ttl_less(word), lowered) << sum;
  }
}

TEST(Rewrite, KeepsAWrongHeaderChecksumWrong) {
  Bytes bytes = packet(true).udp(1, 2).build();
  bytes[24] ^= 0x10;
  Bytes out = rewritten(bytes).bytes;
  EXPECT_NE(checksum(std::span(out).subspan(14, 20)), 0);
}

TEST(Rewrite, RefusesWhatIsLargerThanTheMtu) {
  for (bool v4 : {true, false}) {
    std::size_t headers = v4 ? 28 : 48;
    Bytes fits = packet(v4).udp(1, 2).payload(1500 - headers).build();
    EXPECT_EQ(rewritten(fits).reason, std::nullopt);
    Bytes over = packet(v4).vlan(5).udp(1, 2).payload(1501 - headers).build();
    Rewritten got = rewritten(over);
    EXPECT_EQ(got.reason, DropReason::TooLarge);
    EXPECT_EQ(got.bytes, over) << "unchanged";
    EXPECT_EQ(rewritten(over, 7, 256, 1501).reason, std::nullopt);
    // Padding does not count.
    EXPECT_EQ(rewritten(packet(v4).udp(1, 2).pad_to(200).build(), 0, 0, 100).reason, std::nullopt);
  }
}

TEST(Rewrite, NeedsHeadroomForATagAndNoneWithoutOne) {
  Bytes bytes = packet(true).udp(1, 2).build();
  EXPECT_EQ(rewritten(bytes, 0, 0).reason, std::nullopt);
  EXPECT_EQ(rewritten(bytes, 7, 4).reason, std::nullopt);
  Rewritten got = rewritten(bytes, 7, 3);
  EXPECT_EQ(got.reason, DropReason::NoHeadroom);
  EXPECT_EQ(got.bytes, bytes) << "unchanged";
  EXPECT_EQ(rewritten(packet(true).vlan(5).udp(1, 2).build(), 7, 0).reason, std::nullopt);
}

}  // namespace
}  // namespace lb
