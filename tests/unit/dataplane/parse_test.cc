// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/parse.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/packet_corpus.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// Parses a copy that ends where its memory ends, so that ASan sees a read past it.
ParsedPacket parsed(const Bytes& bytes) {
  auto copy = std::make_unique<std::uint8_t[]>(bytes.size());
  std::ranges::copy(bytes, copy.get());
  ParsedPacket out;
  parse(copy.get(), static_cast<std::uint32_t>(bytes.size()), out);
  return out;
}
ParsedPacket parsed(const PacketBuilder& packet) { return parsed(packet.build()); }

// The reason's name, or "" when the packet was taken.
std::string_view reason(const Bytes& bytes) {
  ParsedPacket out = parsed(bytes);
  return out.kind == PacketKind::Dropped ? drop_reason_name(out.drop) : "";
}
std::string_view reason(const PacketBuilder& packet) { return reason(packet.build()); }

PacketBuilder v4() { return {"198.51.100.7", "192.0.2.10"}; }
PacketBuilder v6() { return {"2001:db8:1::7", "2001:db8::10"}; }

Bytes patched(const PacketBuilder& packet, std::size_t at, std::uint8_t value) {
  Bytes bytes = packet.build();
  bytes.at(at) = value;
  return bytes;
}

TEST(Parse, FindsTheTupleOfEachProtocol) {
  for (std::uint8_t proto : {6, 17, 132}) {
    auto packet = [&](PacketBuilder builder) {
      if (proto == 6) return builder.tcp(4711, 80, kSyn | kAck);
      return proto == 17 ? builder.udp(4711, 80) : builder.sctp(4711, 80);
    };
    ParsedPacket four = parsed(packet(v4()));
    EXPECT_EQ(four.kind, PacketKind::Flow);
    EXPECT_EQ(four.family, Family::V4);
    EXPECT_EQ(four.key.v4.client, ip("198.51.100.7").as_v4());
    EXPECT_EQ(four.key.v4.vip, ip("192.0.2.10").as_v4());
    EXPECT_EQ(four.key.v4.client_port.host(), 4711);
    EXPECT_EQ(four.key.v4.vip_port.host(), 80);
    EXPECT_EQ(four.key.v4.proto, proto);
    EXPECT_EQ(four.proto, proto);
    EXPECT_EQ(four.tcp_flags, proto == 6 ? kSyn | kAck : 0);
    EXPECT_EQ(four.l3_offset, 14);
    EXPECT_EQ(four.l4_offset, 34);

    ParsedPacket six = parsed(packet(v6()));
    EXPECT_EQ(six.kind, PacketKind::Flow);
    EXPECT_EQ(six.family, Family::V6);
    EXPECT_EQ(std::memcmp(six.key.v6.client, ip("2001:db8:1::7").data(), 16), 0);
    EXPECT_EQ(std::memcmp(six.key.v6.vip, ip("2001:db8::10").data(), 16), 0);
    EXPECT_EQ(six.key.v6.client_port.host(), 4711);
    EXPECT_EQ(six.key.v6.vip_port.host(), 80);
    EXPECT_EQ(six.key.v6.proto, proto);
    EXPECT_EQ(six.l4_offset, 54);
  }
}

TEST(Parse, LeavesNothingOfAnEarlierPacketInTheKey) {
  ParsedPacket out;
  out.key.v6.client[0] = out.key.v6.client[1] = out.key.v6.vip[0] = out.key.v6.vip[1] = ~0ULL;
  std::memset(static_cast<void*>(&out.key), 0xff, sizeof out.key);
  Bytes bytes = v4().udp(1, 2).build();
  parse(bytes.data(), static_cast<std::uint32_t>(bytes.size()), out);
  EXPECT_EQ(out.key.v4, parsed(bytes).key.v4);
  std::memset(static_cast<void*>(&out.key), 0xff, sizeof out.key);
  bytes = v6().udp(1, 2).build();
  parse(bytes.data(), static_cast<std::uint32_t>(bytes.size()), out);
  EXPECT_EQ(out.key.v6, parsed(bytes).key.v6);
}

TEST(Parse, TakesUpToTwoVlanTagsOfBothKinds) {
  EXPECT_EQ(parsed(v4().vlan(5).udp(1, 2)).vlan_tags, 1);
  EXPECT_EQ(parsed(v4().vlan(5).udp(1, 2)).l3_offset, 18);
  ParsedPacket two = parsed(v6().vlan(5, 0x88a8).vlan(6).udp(1, 2));
  EXPECT_EQ(two.kind, PacketKind::Flow);
  EXPECT_EQ(two.vlan_tags, 2);
  EXPECT_EQ(two.l3_offset, 22);
  EXPECT_EQ(two.l4_offset, 62);
  EXPECT_EQ(reason(v4().vlan(5).vlan(6).vlan(7).udp(1, 2)), "vlan_depth");
}

TEST(Parse, DoesNotCountPadding) {
  ParsedPacket out = parsed(v4().udp(1, 2).pad_to(60));
  EXPECT_EQ(out.kind, PacketKind::Flow);
  EXPECT_EQ(out.l3_bytes, 28U);
  EXPECT_EQ(reason(v4().tcp(1, 2, kSyn, Bytes(3)).pad_to(60)), "");
  // What lies behind the IP packet is no header.
  Bytes bytes = v4().tcp(1, 2, kSyn).pad_to(100).build();
  set16(bytes, 16, 39);
  EXPECT_EQ(reason(bytes), "truncated");
}

TEST(Parse, RefusesWrongIpHeaders) {
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 14, 0x55)), "bad_ip_header");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 14, 0x44)), "bad_ip_header");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 17, 19)), "bad_ip_header");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 17, 29)), "truncated");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 14, 0x4f)), "bad_ip_header");
  EXPECT_EQ(reason(patched(v6().udp(1, 2), 14, 0x40)), "bad_ip_header");
  EXPECT_EQ(reason(patched(v6().udp(1, 2), 19, 9)), "truncated");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 13, 6)), "bad_ip_header");  // ARP
}

TEST(Parse, RefusesWrongTransportHeaders) {
  EXPECT_EQ(reason(v4().tcp(0, 80, kSyn)), "bad_l4_header");
  EXPECT_EQ(reason(v4().tcp(80, 0, kSyn)), "bad_l4_header");
  EXPECT_EQ(reason(v4().sctp(0, 80)), "bad_l4_header");
  EXPECT_EQ(reason(v4().udp(80, 0)), "bad_l4_header");
  EXPECT_EQ(reason(v4().udp(0, 80)), "") << "RFC 768: a source port of 0 is none";
  EXPECT_EQ(reason(patched(v4().tcp(1, 2, kSyn), 46, 0x40)), "bad_l4_header");
  EXPECT_EQ(reason(patched(v4().tcp(1, 2, kSyn), 46, 0x60)), "bad_l4_header");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 39, 7)), "bad_l4_header");
  EXPECT_EQ(reason(patched(v4().udp(1, 2), 39, 9)), "bad_l4_header");
  EXPECT_EQ(reason(v4().protocol(17, Bytes(7))), "truncated");
  EXPECT_EQ(reason(v4().protocol(132, Bytes(11))), "truncated");
}

TEST(Parse, RefusesFlagsThatNoStackSends) {
  for (int flags = 0; flags < 256; ++flags) {
    bool bad = (flags & 0x3f) == 0 || ((flags & kSyn) != 0 && (flags & (kFin | kRst)) != 0);
    EXPECT_EQ(reason(v4().tcp(1, 2, static_cast<std::uint8_t>(flags))), bad ? "bad_flags" : "");
  }
}

TEST(Parse, RefusesSourcesThatCannotBe) {
  for (const char* source :
       {"0.0.0.0", "127.0.0.1", "127.255.0.9", "224.0.0.1", "239.1.2.3", "255.255.255.255"}) {
    EXPECT_EQ(reason(PacketBuilder(source, "192.0.2.10").udp(1, 2)), "bad_source") << source;
  }
  for (const char* source : {"::", "::1", "ff02::1"}) {
    EXPECT_EQ(reason(PacketBuilder(source, "2001:db8::10").udp(1, 2)), "bad_source") << source;
  }
  for (const char* source : {"1.0.0.0", "126.255.255.255", "128.0.0.1", "223.255.255.255",
                             "240.0.0.1", "255.255.255.254"}) {
    EXPECT_EQ(reason(PacketBuilder(source, "192.0.2.10").udp(1, 2)), "") << source;
  }
  for (const char* source : {"::2", "fe80::1", "100::1"}) {
    EXPECT_EQ(reason(PacketBuilder(source, "2001:db8::10").udp(1, 2)), "") << source;
  }
}

TEST(Parse, MarksAnExpiringTtl) {
  EXPECT_TRUE(parsed(v4().ttl(1).udp(1, 2)).ttl_expired);
  EXPECT_TRUE(parsed(v4().ttl(0).udp(1, 2)).ttl_expired);
  EXPECT_FALSE(parsed(v4().ttl(2).udp(1, 2)).ttl_expired);
  EXPECT_TRUE(parsed(v6().ttl(1).udp(1, 2)).ttl_expired);
  EXPECT_FALSE(parsed(v6().ttl(2).udp(1, 2)).ttl_expired);
}

TEST(Parse, WalksExtensionHeadersUpToTheLimit) {
  ParsedPacket out = parsed(v6().ext(0).ext(60, 2).ext(43).ext(51, 4).udp(7, 8));
  EXPECT_EQ(out.kind, PacketKind::Flow);
  EXPECT_EQ(out.l4_offset, 54 + 8 + 16 + 8 + 16);
  EXPECT_EQ(out.key.v6.proto, 17);
  EXPECT_EQ(out.key.v6.vip_port.host(), 8);
  PacketBuilder eight = v6();
  for (int i = 0; i < LB_EXT_HEADERS_MAX; ++i) eight.ext(60);
  EXPECT_EQ(reason(PacketBuilder(eight).udp(1, 2)), "");
  EXPECT_EQ(reason(PacketBuilder(eight).ext(60).udp(1, 2)), "ext_headers");
  EXPECT_EQ(reason(v6().ext(60).protocol(59)), "vip_unmatched");
  // A header that says it is longer than the packet.
  EXPECT_EQ(reason(patched(v6().ext(60).udp(1, 2), 55, 255)), "truncated");
}

TEST(Parse, KnowsFragments) {
  ParsedPacket first = parsed(v4().id(77).fragment(0, true).udp(1, 2).payload(16));
  EXPECT_EQ(first.kind, PacketKind::Flow);
  EXPECT_TRUE(first.is_first_fragment);
  EXPECT_EQ(first.fragment_id, 77U);
  ParsedPacket later = parsed(v4().id(77).fragment(24, false).protocol(17, Bytes(5)));
  EXPECT_EQ(later.kind, PacketKind::LaterFragment);
  EXPECT_EQ(later.fragment_offset, 24U);
  EXPECT_FALSE(later.more_fragments);
  EXPECT_EQ(later.key.v4.client_port.raw(), 0);

  first = parsed(v6().ext(0).id(0x12345678).fragment(0, true).ext(60).udp(1, 2).payload(16));
  EXPECT_EQ(first.kind, PacketKind::Flow);
  EXPECT_TRUE(first.is_first_fragment);
  EXPECT_EQ(first.fragment_id, 0x12345678U);
  later = parsed(v6().ext(0).id(0x12345678).fragment(1000, true).protocol(60, Bytes(8)));
  EXPECT_EQ(later.kind, PacketKind::LaterFragment);
  EXPECT_TRUE(later.more_fragments);
}

TEST(Parse, TakesAnAtomicFragmentAsAWholePacket) {
  ParsedPacket out = parsed(v6().fragment(0, false).tcp(1, 2, kAck));
  EXPECT_EQ(out.kind, PacketKind::Flow);
  EXPECT_FALSE(out.is_first_fragment);
  EXPECT_EQ(reason(v6().fragment(0, false).echo_request(1, 1)), "");
}

TEST(Parse, RefusesFragmentsMadeToFool) {
  EXPECT_EQ(reason(v4().fragment(0, true).protocol(6, Bytes(16))), "fragment_bad");
  EXPECT_EQ(reason(v6().fragment(0, true).protocol(6, Bytes(16))), "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(0, true).tcp(1, 2, kSyn, Bytes(8)).payload(4)), "")
      << "a whole header and 12 bytes of options and data";
  EXPECT_EQ(reason(patched(v4().fragment(0, true).tcp(1, 2, kSyn).payload(4), 46, 0xf0)),
            "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(8, false).protocol(6, Bytes(40))), "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(16, false).protocol(6, Bytes(40))), "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(24, false).protocol(6, Bytes(40))), "");
  EXPECT_EQ(reason(v4().fragment(8, false).protocol(132, Bytes(40))), "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(8, false).protocol(17, Bytes(40))), "");
  EXPECT_EQ(reason(v4().fragment(16, false).protocol(17)), "fragment_bad") << "empty";
  EXPECT_EQ(reason(v4().fragment(16, true).protocol(17, Bytes(9))), "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(65528, false).protocol(17, Bytes(8))), "fragment_bad");
  EXPECT_EQ(reason(v4().fragment(65528, false).protocol(17, Bytes(7))), "");
  EXPECT_EQ(reason(v6().fragment(65528, false).protocol(17, Bytes(8))), "fragment_bad");
}

TEST(Parse, LeavesFragmentsOfOtherProtocolsToNobody) {
  EXPECT_EQ(reason(v4().fragment(0, true).echo_request(1, 1).payload(8)), "vip_unmatched");
  EXPECT_EQ(reason(v4().fragment(8, false).protocol(1, Bytes(8))), "vip_unmatched");
  EXPECT_EQ(reason(v6().fragment(0, true).echo_request(1, 1).payload(8)), "vip_unmatched");
  EXPECT_EQ(reason(v6().fragment(8, false).protocol(58, Bytes(8))), "vip_unmatched");
  EXPECT_EQ(reason(v4().protocol(47, Bytes(8))), "vip_unmatched");
  EXPECT_EQ(reason(v4().protocol(58, Bytes(8))), "vip_unmatched") << "ICMPv6 in IPv4";
  EXPECT_EQ(reason(v6().protocol(1, Bytes(8))), "vip_unmatched");
}

TEST(Parse, ReversesTheTupleThatAnIcmpErrorQuotes) {
  Bytes reply = PacketBuilder("192.0.2.10", "198.51.100.7").tcp(80, 4711, kAck).payload(9).build();
  for (std::uint8_t type : {3, 11, 12}) {
    ParsedPacket out = parsed(icmp_error("203.0.113.1", reply, type, 0, 28));
    ASSERT_EQ(out.kind, PacketKind::IcmpError);
    EXPECT_EQ(out.key.v4, parsed(v4().tcp(4711, 80, kAck)).key.v4);
    EXPECT_EQ(out.proto, 1);
  }
  Bytes reply6 = PacketBuilder("2001:db8::10", "2001:db8:1::7").ext(60).udp(80, 4711).build();
  for (std::uint8_t type : {1, 2, 3, 4}) {
    ParsedPacket out = parsed(icmp_error("2001:db8:9::1", reply6, type, 0, 56));
    ASSERT_EQ(out.kind, PacketKind::IcmpError);
    EXPECT_EQ(out.key.v6, parsed(v6().udp(4711, 80)).key.v6);
  }
}

TEST(Parse, RefusesIcmpErrorsThatQuoteNoBalancedPacket) {
  auto about = [](const PacketBuilder& packet, std::size_t bytes = 1500) {
    Bytes frame = packet.build();
    auto error = icmp_error(
        packet.l3_offset() == 14 && get16(frame, 12) == 0x0800 ? "203.0.113.1" : "2001:db8:9::1",
        frame, 3, 0, bytes);
    return reason(error);
  };
  PacketBuilder four("192.0.2.10", "198.51.100.7");
  PacketBuilder six("2001:db8::10", "2001:db8:1::7");
  EXPECT_EQ(about(PacketBuilder(four).udp(80, 1), 27), "truncated");
  EXPECT_EQ(about(PacketBuilder(four).udp(80, 1), 19), "truncated");
  EXPECT_EQ(about(PacketBuilder(four).udp(80, 1), 28), "");
  EXPECT_EQ(about(PacketBuilder(four).udp(0, 1)), "icmp_unknown");
  EXPECT_EQ(about(PacketBuilder(four).options(Bytes(8, 1)).udp(80, 1), 36), "");
  EXPECT_EQ(about(PacketBuilder(four).options(Bytes(8, 1)).udp(80, 1), 28), "truncated");
  EXPECT_EQ(about(PacketBuilder(four).icmp(0, 0).payload(8)), "icmp_unknown") << "of our echo";
  EXPECT_EQ(about(PacketBuilder(four).fragment(0, true).udp(80, 1).payload(8)), "");
  EXPECT_EQ(about(PacketBuilder(four).fragment(8, false).protocol(17, Bytes(8))), "icmp_unknown");
  EXPECT_EQ(about(PacketBuilder(six).udp(80, 1), 47), "truncated");
  EXPECT_EQ(about(PacketBuilder(six).udp(80, 1), 48), "");
  EXPECT_EQ(about(PacketBuilder(six).ext(60).udp(80, 1), 48), "truncated");
  EXPECT_EQ(about(PacketBuilder(six).fragment(0, true).udp(80, 1).payload(8)), "");
  EXPECT_EQ(about(PacketBuilder(six).fragment(8, false).protocol(17, Bytes(8))), "icmp_unknown");
  PacketBuilder nine = six;
  for (int i = 0; i <= LB_EXT_HEADERS_MAX; ++i) nine.ext(60);
  EXPECT_EQ(about(nine.udp(80, 1)), "icmp_unknown");
  // A quote from another source than the VIP that the error is for.
  Bytes frame = icmp_error("203.0.113.1", PacketBuilder(four).udp(80, 1).build(), 3, 0, 64).build();
  frame.at(14 + 20 + 8 + 15) ^= 1;
  EXPECT_EQ(reason(frame), "icmp_unknown");
  for (std::uint8_t type : {0, 4, 5, 13, 17}) {
    EXPECT_EQ(reason(v4().icmp(type, 0).payload(40)), "vip_unmatched") << int{type};
  }
  for (std::uint8_t type : {0, 5, 129, 135, 136}) {
    EXPECT_EQ(reason(v6().icmp(type, 0).payload(60)), "vip_unmatched") << int{type};
  }
}

// Every frame of the corpus, cut at every byte: never taken as something it is not, never read
// past its end (ASan).
TEST(Parse, RefusesEveryTruncationOfEveryKind) {
  for (const Bytes& whole : corpus()) {
    ParsedPacket all = parsed(whole);
    if (all.kind == PacketKind::Dropped) continue;
    std::size_t end = all.l3_offset + all.l3_bytes;
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
      EXPECT_EQ(reason(cut), bytes < end ? "truncated" : "") << bytes << " of " << whole.size();
    }
  }
}

// The same frames with a shortened IP length: the headers end within the frame.
TEST(Parse, ReadsNoHeaderPastTheEndOfTheIpPacket) {
  for (const Bytes& whole : corpus()) {
    ParsedPacket all = parsed(whole);
    if (all.kind == PacketKind::Dropped) continue;
    bool v4_frame = all.family == Family::V4;
    std::size_t headers = v4_frame ? 0 : 40;
    for (std::uint32_t bytes = 0; bytes + headers < all.l3_bytes; ++bytes) {
      Bytes shorter = whole;
      set16(shorter, all.l3_offset + (v4_frame ? 2U : 4U), bytes);
      ParsedPacket out = parsed(shorter);
      if (out.kind != PacketKind::Dropped) {
        EXPECT_LE(out.l4_offset, all.l3_offset + headers + bytes);
      }
    }
  }
}

}  // namespace
}  // namespace lb
