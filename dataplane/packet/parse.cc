// SPDX-License-Identifier: Apache-2.0
// Every read is behind a comparison with the end of what it reads from: the frame for Ethernet and
// IP, the IP packet for what IP carries, the quote for what an ICMP error quotes.
#include "dataplane/packet/parse.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/packet/wire.h"

namespace lb {
namespace {

using namespace wire;  // NOLINT(google-build-using-namespace)

// A part of the frame, from `at` up to `end`.
struct Span {
  const std::uint8_t* at;
  const std::uint8_t* end;
  [[nodiscard]] std::uint32_t bytes() const noexcept {
    return at < end ? static_cast<std::uint32_t>(end - at) : 0;
  }
};

struct Ports {
  Be16 source;
  Be16 destination;
};

bool refuse(ParsedPacket& out, DropReason reason) noexcept {
  out.kind = PacketKind::Dropped;
  out.drop = reason;
  return false;
}

bool is_fragment(const ParsedPacket& out) noexcept {
  return out.is_first_fragment || out.kind == PacketKind::LaterFragment;
}

// What a header that is too short means: a first fragment must hold all of it (RFC 1858).
bool refuse_short(ParsedPacket& out, DropReason reason) noexcept {
  return refuse(out, out.is_first_fragment ? DropReason::FragmentBad : reason);
}

bool parse_tcp(Span l4, ParsedPacket& out) noexcept {
  if (l4.bytes() < kTcpBytes) return refuse_short(out, DropReason::Truncated);
  std::uint32_t header = (l4.at[12] >> 4) * 4U;
  if (header < kTcpBytes) return refuse(out, DropReason::BadL4Header);
  if (header > l4.bytes()) return refuse_short(out, DropReason::BadL4Header);
  std::uint8_t flags = l4.at[13];
  out.tcp_flags = flags;
  if ((flags & kTcpFlagsMask) == 0 || ((flags & kSyn) != 0 && (flags & (kFin | kRst)) != 0)) {
    return refuse(out, DropReason::BadFlags);
  }
  return true;
}

bool parse_udp(Span l4, ParsedPacket& out) noexcept {
  if (l4.bytes() < kUdpBytes) return refuse_short(out, DropReason::Truncated);
  std::uint32_t length = load16(l4.at + 4);
  if (length < kUdpBytes) return refuse(out, DropReason::BadL4Header);
  if (length > l4.bytes() && !out.is_first_fragment) return refuse(out, DropReason::BadL4Header);
  return true;
}

// TCP, UDP, SCTP: the whole header must be there. A source port of 0 is legal in UDP (RFC 768).
bool parse_ports(Span l4, ParsedPacket& out, Ports& ports) noexcept {
  if (out.proto == kTcp) {
    if (!parse_tcp(l4, out)) return false;
  } else if (out.proto == kUdp) {
    if (!parse_udp(l4, out)) return false;
  } else if (l4.bytes() < kSctpBytes) {
    return refuse_short(out, DropReason::Truncated);
  }
  ports = {Be16::load(l4.at), Be16::load(l4.at + 2)};
  if (ports.destination.raw() == 0 || (ports.source.raw() == 0 && out.proto != kUdp)) {
    return refuse(out, DropReason::BadL4Header);
  }
  out.kind = PacketKind::Flow;
  return true;
}

constexpr bool has_ports(std::uint8_t proto) noexcept {
  return proto == kTcp || proto == kUdp || proto == kSctp;
}

// Fields of a fragment: `payload` bytes behind the IP (or fragment) header. False: dropped.
bool check_fragment(ParsedPacket& out, std::uint32_t payload) noexcept {
  bool later = out.fragment_offset != 0;
  out.is_first_fragment = !later;
  if (payload == 0 || (out.more_fragments && payload % 8 != 0) ||
      out.fragment_offset + payload > 65535) {
    return refuse(out, DropReason::FragmentBad);
  }
  if (!later) return true;
  std::uint32_t header = out.proto == kTcp ? kTcpBytes : out.proto == kSctp ? kSctpBytes : 0;
  if (out.fragment_offset < header) return refuse(out, DropReason::FragmentBad);
  out.kind = PacketKind::LaterFragment;
  return true;
}

// The ports of a quoted header, of which 8 bytes are enough.
bool quoted_ports(Span l4, std::uint8_t proto, ParsedPacket& out, Ports& ports) noexcept {
  if (!has_ports(proto)) return refuse(out, DropReason::IcmpUnknown);
  if (l4.bytes() < 8) return refuse(out, DropReason::Truncated);
  ports = {Be16::load(l4.at), Be16::load(l4.at + 2)};
  if (ports.source.raw() == 0) return refuse(out, DropReason::IcmpUnknown);
  out.kind = PacketKind::IcmpError;
  return true;
}

// What walk() stopped at.
struct Walked {
  const std::uint8_t* at;
  std::uint8_t proto;
  const std::uint8_t* fragment;  // the last fragment header, or null
  bool later_fragment;
};

// Over the extension headers from `at`, which is of kind `proto`, to the transport header or into
// a later fragment.
bool walk(Span in, std::uint8_t proto, Walked& walked, ParsedPacket& out) noexcept {
  walked = {in.at, proto, nullptr, false};
  for (int headers = 0;; ++headers) {
    proto = walked.proto;
    if (proto != kHopByHop && proto != kRouting && proto != kFragment && proto != kAuth &&
        proto != kDestOptions) {
      return true;
    }
    if (headers == LB_EXT_HEADERS_MAX) return refuse(out, DropReason::ExtHeaders);
    if (Span{walked.at, in.end}.bytes() < 8) return refuse(out, DropReason::Truncated);
    const std::uint8_t* header = walked.at;
    std::uint32_t header_bytes = 8;
    walked.proto = header[0];
    if (proto == kFragment) {
      std::uint16_t field = load16(header + 2);
      if ((field & 0xfff9) != 0) walked.fragment = header;
      if ((field & 0xfff8) != 0) {
        walked.later_fragment = true;
        walked.at += header_bytes;
        return true;
      }
    } else if (proto == kAuth) {
      header_bytes = (header[1] + 2) * 4U;
    } else {
      header_bytes = (header[1] + 1) * 8U;
    }
    walked.at += std::min(header_bytes, Span{walked.at, in.end}.bytes());
  }
}

bool quote4(Span quote, ParsedPacket& out) noexcept {
  if (quote.bytes() < kIpv4Bytes) return refuse(out, DropReason::Truncated);
  const std::uint8_t* ip = quote.at;
  std::uint32_t header = (ip[0] & 15) * 4U;
  FlowKey4& key = out.key.v4;
  if (ip[0] >> 4 != 4 || header < kIpv4Bytes || (load16(ip + 6) & kOffsetMask) != 0 ||
      Be32::load(ip + 12) != key.vip) {
    return refuse(out, DropReason::IcmpUnknown);
  }
  if (header > quote.bytes()) return refuse(out, DropReason::Truncated);
  Ports ports;
  if (!quoted_ports({ip + header, quote.end}, ip[9], out, ports)) return false;
  key.client = Be32::load(ip + 16);
  key.client_port = ports.destination;
  key.vip_port = ports.source;
  key.proto = ip[9];
  return true;
}

bool quote6(Span quote, ParsedPacket& out) noexcept {
  if (quote.bytes() < kIpv6Bytes) return refuse(out, DropReason::Truncated);
  const std::uint8_t* ip = quote.at;
  FlowKey6& key = out.key.v6;
  if (ip[0] >> 4 != 6 || std::memcmp(ip + 8, key.vip, 16) != 0) {
    return refuse(out, DropReason::IcmpUnknown);
  }
  Walked walked;
  if (!walk({ip + kIpv6Bytes, quote.end}, ip[6], walked, out)) {
    return refuse(out, out.drop == DropReason::ExtHeaders ? DropReason::IcmpUnknown : out.drop);
  }
  if (walked.later_fragment) return refuse(out, DropReason::IcmpUnknown);
  Ports ports;
  if (!quoted_ports({walked.at, quote.end}, walked.proto, out, ports)) return false;
  std::memcpy(key.client, ip + 24, 16);
  key.client_port = ports.destination;
  key.vip_port = ports.source;
  key.proto = walked.proto;
  return true;
}

bool parse_icmp(Span l4, ParsedPacket& out) noexcept {
  if (l4.bytes() < kIcmpBytes) return refuse(out, DropReason::Truncated);
  std::uint8_t type = l4.at[0];
  if (out.family == Family::V4) {
    if (type == kIcmpUnreachable || type == kIcmpTimeExceeded || type == kIcmpParameter) {
      return quote4({l4.at + kIcmpBytes, l4.end}, out);
    }
    if (type != kIcmpEcho) return refuse(out, DropReason::VipUnmatched);
  } else {
    if (type >= kIcmp6Unreachable && type <= kIcmp6Parameter) {
      return quote6({l4.at + kIcmpBytes, l4.end}, out);
    }
    if (type != kIcmp6Echo) return refuse(out, DropReason::VipUnmatched);
  }
  out.kind = PacketKind::EchoRequest;
  return true;
}

// All that is behind the IP headers, unless it is a later fragment.
bool parse_transport(Span l4, ParsedPacket& out, Ports& ports) noexcept {
  if (has_ports(out.proto)) [[likely]]
    return parse_ports(l4, out, ports);
  bool icmp = out.proto == (out.family == Family::V4 ? kIcmp : kIcmp6);
  if (!icmp || is_fragment(out)) return refuse(out, DropReason::VipUnmatched);
  return parse_icmp(l4, out);
}

bool bad_source4(Be32 address) noexcept {
  std::uint32_t source = address.host();
  return source == 0 || source >> 24 == 127 || source >> 28 == 14 || source == 0xffffffff;
}

bool bad_source6(const std::uint8_t* source) noexcept {
  if (source[0] == 0xff) return true;
  std::uint64_t words[2];
  std::memcpy(words, source, 16);
  return words[0] == 0 && (words[1] == 0 || words[1] == std::byteswap(std::uint64_t{1}));
}

void parse_ipv4(const std::uint8_t* frame, Span l3, ParsedPacket& out) noexcept {
  const std::uint8_t* ip = l3.at;
  out.family = Family::V4;
  if (l3.bytes() < kIpv4Bytes) return void(refuse(out, DropReason::Truncated));
  std::uint32_t header = (ip[0] & 15) * 4U;
  std::uint32_t total = load16(ip + 2);
  if (ip[0] >> 4 != 4 || header < kIpv4Bytes || total < header) {
    return void(refuse(out, DropReason::BadIpHeader));
  }
  if (total > l3.bytes()) return void(refuse(out, DropReason::Truncated));
  Be32 source = Be32::load(ip + 12);
  if (bad_source4(source)) return void(refuse(out, DropReason::BadSource));
  out.key.v4 = {};
  out.key.v4.client = source;
  out.key.v4.vip = Be32::load(ip + 16);
  out.key.v4.proto = out.proto = ip[9];
  out.ttl_expired = ip[8] <= 1;
  out.l3_bytes = total;
  out.l4_offset = static_cast<std::uint16_t>(ip + header - frame);
  std::uint16_t field = load16(ip + 6);
  if ((field & (kMoreFragments | kOffsetMask)) != 0) [[unlikely]] {
    out.fragment_id = load16(ip + 4);
    out.fragment_offset = (field & kOffsetMask) * 8U;
    out.more_fragments = (field & kMoreFragments) != 0;
    if (!check_fragment(out, total - header)) return;
    if (out.kind == PacketKind::LaterFragment) {
      if (!has_ports(out.proto)) refuse(out, DropReason::VipUnmatched);
      return;
    }
  }
  Ports ports;
  if (!parse_transport({ip + header, ip + total}, out, ports) || out.kind != PacketKind::Flow) {
    return;
  }
  out.key.v4.client_port = ports.source;
  out.key.v4.vip_port = ports.destination;
}

// Walks the extension headers and takes over what they say. False: done with the packet.
bool parse_extensions(const std::uint8_t* frame, Span in, ParsedPacket& out, Span& l4) noexcept {
  Walked walked;
  if (!walk(in, out.proto, walked, out)) return false;
  out.key.v6.proto = out.proto = walked.proto;
  out.l4_offset = static_cast<std::uint16_t>(walked.at - frame);
  l4 = {walked.at, in.end};
  if (walked.fragment == nullptr) return true;
  std::uint16_t field = load16(walked.fragment + 2);
  out.fragment_id = load32(walked.fragment + 4);
  out.fragment_offset = field & 0xfff8U;
  out.more_fragments = (field & 1) != 0;
  if (!check_fragment(out, Span{walked.fragment + 8, in.end}.bytes())) return false;
  if (out.kind != PacketKind::LaterFragment) return true;
  // What the first fragment carries need not follow directly (RFC 8200 section 4.5).
  if (out.proto == kIcmp6) refuse(out, DropReason::VipUnmatched);
  return false;
}

void parse_ipv6(const std::uint8_t* frame, Span l3, ParsedPacket& out) noexcept {
  const std::uint8_t* ip = l3.at;
  out.family = Family::V6;
  if (l3.bytes() < kIpv6Bytes) return void(refuse(out, DropReason::Truncated));
  std::uint32_t total = kIpv6Bytes + load16(ip + 4);
  if (ip[0] >> 4 != 6) return void(refuse(out, DropReason::BadIpHeader));
  if (total > l3.bytes()) return void(refuse(out, DropReason::Truncated));
  if (bad_source6(ip + 8)) return void(refuse(out, DropReason::BadSource));
  FlowKey6& key = out.key.v6;
  std::memcpy(key.client, ip + 8, 16);
  std::memcpy(key.vip, ip + 24, 16);
  key.client_port = key.vip_port = Be16{};
  std::memset(key.zero, 0, sizeof key.zero);
  key.proto = out.proto = ip[6];
  out.ttl_expired = ip[7] <= 1;
  out.l3_bytes = total;
  out.l4_offset = static_cast<std::uint16_t>(ip + kIpv6Bytes - frame);
  Span l4{ip + kIpv6Bytes, ip + total};
  if (!has_ports(out.proto) && !parse_extensions(frame, l4, out, l4)) return;
  Ports ports;
  if (!parse_transport(l4, out, ports) || out.kind != PacketKind::Flow) return;
  key.client_port = ports.source;
  key.vip_port = ports.destination;
}

}  // namespace

void parse(const std::uint8_t* data, std::uint32_t bytes, ParsedPacket& out) noexcept {
  out.kind = PacketKind::Dropped;
  out.drop = DropReason::Truncated;
  out.tcp_flags = 0;
  out.vlan_tags = 0;
  out.is_first_fragment = false;
  out.ttl_expired = false;
  if (bytes < kEthernetBytes) return;
  std::uint32_t l3 = kEthernetBytes;
  std::uint16_t type = load16(data + 12);
  while (type == kEtherVlan || type == kEtherServiceVlan) [[unlikely]] {
    if (out.vlan_tags == LB_VLAN_TAGS_MAX) return void(refuse(out, DropReason::VlanDepth));
    if (bytes - l3 < kVlanBytes) return;
    type = load16(data + l3 + 2);
    l3 += kVlanBytes;
    ++out.vlan_tags;
  }
  out.l3_offset = static_cast<std::uint16_t>(l3);
  Span packet{data + l3, data + bytes};
  if (type == kEtherIpv4) [[likely]] {
    parse_ipv4(data, packet, out);
  } else if (type == kEtherIpv6) {
    parse_ipv6(data, packet, out);
  } else {
    refuse(out, DropReason::BadIpHeader);
  }
}

}  // namespace lb
