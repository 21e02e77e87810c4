// SPDX-License-Identifier: Apache-2.0
// The IP headers of the answers are written anew, so their checksums are computed whole; this path
// is rate-limited or rare.
#include "dataplane/packet/icmp_reply.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/wire.h"

namespace lb {
namespace {

using namespace wire;  // NOLINT(google-build-using-namespace)

constexpr std::uint8_t kTtl = 64;
constexpr std::uint32_t kErrorBytesMax4 = 576;
constexpr std::uint32_t kErrorBytesMax6 = 1280;

void store_checksum(std::uint8_t* at, std::uint16_t raw) noexcept { std::memcpy(at, &raw, 2); }

// Both addresses of a packet, taken before its header is written over.
struct Addresses {
  std::array<std::uint8_t, 16> source{};
  std::array<std::uint8_t, 16> destination{};
};

Addresses addresses_of(const std::uint8_t* l3, Family family) noexcept {
  Addresses out;
  if (family == Family::V4) {
    std::memcpy(out.source.data(), l3 + 12, 4);
    std::memcpy(out.destination.data(), l3 + 16, 4);
  } else {
    std::memcpy(out.source.data(), l3 + 8, 16);
    std::memcpy(out.destination.data(), l3 + 24, 16);
  }
  return out;
}

// An IPv4 header without options, DF set and so without an id (RFC 6864).
void write_ipv4(std::uint8_t* l3, const Addresses& to_from, std::uint32_t payload) noexcept {
  std::memset(l3, 0, kIpv4Bytes);
  l3[0] = 0x45;
  store16(l3 + 2, kIpv4Bytes + payload);
  store16(l3 + 6, 0x4000);
  l3[8] = kTtl;
  l3[9] = kIcmp;
  std::memcpy(l3 + 12, to_from.destination.data(), 4);
  std::memcpy(l3 + 16, to_from.source.data(), 4);
  store_checksum(l3 + 10, checksum_of(l3, kIpv4Bytes));
}

void write_ipv6(std::uint8_t* l3, const Addresses& to_from, std::uint32_t payload) noexcept {
  store32(l3, 6U << 28);
  store16(l3 + 4, payload);
  l3[6] = kIcmp6;
  l3[7] = kTtl;
  std::memcpy(l3 + 8, to_from.destination.data(), 16);
  std::memcpy(l3 + 24, to_from.source.data(), 16);
}

void write_ip(std::uint8_t* l3, Family family, const Addresses& to_from,
              std::uint32_t payload) noexcept {
  if (family == Family::V4) {
    write_ipv4(l3, to_from, payload);
  } else {
    write_ipv6(l3, to_from, payload);
  }
}

// Moves the link layer of `l2_bytes` so that an IP header of `l3` follows it, turned back to the
// sender, and makes the frame end at `end`.
void turn_back(Packet& packet, std::uint32_t l2_bytes, const std::uint8_t* l3,
               const std::uint8_t* end, const MacAddr& own) noexcept {
  const std::uint8_t* old_end = packet.data + packet.bytes;
  std::uint8_t* data = packet.data + (l3 - packet.data) - l2_bytes;
  std::memmove(data, packet.data, l2_bytes);
  std::memcpy(data, data + 6, 6);
  std::memcpy(data + 6, own.bytes.data(), 6);
  packet.headroom = static_cast<std::uint16_t>(packet.headroom + (data - packet.data));
  packet.tailroom = static_cast<std::uint16_t>(packet.tailroom + (old_end - end));
  packet.data = data;
  packet.bytes = static_cast<std::uint32_t>(end - data);
}

}  // namespace

bool TokenBucket::take(TickMs now) noexcept {
  const std::uint64_t full = rate_ * std::uint64_t{1000};
  if (started_) {
    const std::int32_t elapsed = ms_since(now, last_);
    if (elapsed > 0) {
      millitokens_ = std::min(full, millitokens_ + static_cast<std::uint64_t>(elapsed) * rate_);
    }
  }
  started_ = true;
  last_ = now;
  if (millitokens_ < 1000) return false;
  millitokens_ -= 1000;
  return true;
}

void make_echo_reply(Packet& packet, const ParsedPacket& parsed, const MacAddr& own) noexcept {
  std::uint8_t* old_l3 = packet.data + parsed.l3_offset;
  std::uint8_t* l4 = packet.data + parsed.l4_offset;
  const bool v4 = parsed.family == Family::V4;
  const std::uint8_t* end = old_l3 + parsed.l3_bytes;
  const Addresses addresses = addresses_of(old_l3, parsed.family);
  std::uint8_t* l3 = l4 - (v4 ? kIpv4Bytes : kIpv6Bytes);

  // The link layer first: without options or extension headers it stays where it is.
  turn_back(packet, parsed.l3_offset, l3, end, own);
  write_ip(l3, parsed.family, addresses, static_cast<std::uint32_t>(end - l4));
  std::uint16_t before = 0;
  std::uint16_t after = 0;
  std::uint16_t sum = 0;
  std::memcpy(&before, l4, 2);
  l4[0] = v4 ? kIcmpEchoReply : kIcmp6EchoReply;
  std::memcpy(&after, l4, 2);
  std::memcpy(&sum, l4 + 2, 2);
  store_checksum(l4 + 2, checksum_update(sum, before, after));
}

bool make_icmp_error(Packet& packet, const ParsedPacket& parsed, const MacAddr& own,
                     IcmpProblem problem) noexcept {
  const bool v4 = parsed.family == Family::V4;
  const std::uint32_t grow = (v4 ? kIpv4Bytes : kIpv6Bytes) + kIcmpBytes;
  if (parsed.kind != PacketKind::Flow || (packet.data[0] & 1) != 0) return false;
  if (packet.headroom < grow) return false;

  std::uint8_t* quote = packet.data + parsed.l3_offset;
  const std::uint32_t quote_max = (v4 ? kErrorBytesMax4 : kErrorBytesMax6) - grow;
  const std::uint32_t quoted = std::min(parsed.l3_bytes, quote_max);
  std::uint8_t* icmp = quote - kIcmpBytes;
  std::uint8_t* l3 = quote - grow;
  const std::uint32_t payload = kIcmpBytes + quoted;
  const Addresses addresses = addresses_of(quote, parsed.family);

  turn_back(packet, parsed.l3_offset, l3, quote + quoted, own);
  write_ip(l3, parsed.family, addresses, payload);
  std::memset(icmp, 0, kIcmpBytes);
  std::uint64_t pseudo = 0;
  switch (problem) {
    case IcmpProblem::TimeExceeded:
      icmp[0] = v4 ? kIcmpTimeExceeded : kIcmp6TimeExceeded;
      break;
  }
  if (!v4) {
    pseudo = checksum_sum(l3 + 8, 32) + Be16::from_host(kIcmp6).raw() +
             Be16::from_host(static_cast<std::uint16_t>(payload)).raw();
  }
  store_checksum(icmp + 2, checksum_of(icmp, payload, pseudo));
  return true;
}

}  // namespace lb
