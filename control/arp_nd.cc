// SPDX-License-Identifier: Apache-2.0
// ARP and neighbour discovery frames, written and read field by field.
#include "control/arp_nd.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace lb {
namespace {

constexpr std::uint16_t kEtherArp = 0x0806;
constexpr std::uint16_t kEtherVlan = 0x8100;
constexpr std::uint16_t kEtherIpv6 = 0x86dd;
constexpr std::uint16_t kArpRequest = 1;
constexpr std::uint16_t kArpReply = 2;
constexpr std::uint8_t kIcmp6 = 58;
constexpr std::uint8_t kSolicitation = 135;
constexpr std::uint8_t kAdvertisement = 136;
constexpr std::uint8_t kSourceLinkAddress = 1;
constexpr std::uint8_t kTargetLinkAddress = 2;
constexpr std::size_t kMacs = 12;      // both MAC addresses
constexpr std::size_t kArpBytes = 28;  // of an Ethernet and IPv4 ARP packet
constexpr std::size_t kIpv6Bytes = 40;
constexpr std::size_t kNdBytes = 24;  // a solicitation or advertisement without options
constexpr MacAddr kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

class Writer {
 public:
  Writer& u8(std::uint8_t value) {
    frame_.push_back(value);
    return *this;
  }
  Writer& u16(std::uint16_t value) {
    return u8(static_cast<std::uint8_t>(value >> 8)).u8(value & 0xff);
  }
  Writer& bytes(std::span<const std::uint8_t> data) {
    frame_.insert(frame_.end(), data.begin(), data.end());
    return *this;
  }
  Writer& mac(const MacAddr& address) { return bytes(address.bytes); }
  Writer& ip(const IpAddr& address) { return bytes({address.data(), address.size()}); }
  Writer& ethernet(const MacAddr& to, const MacAddr& from, std::uint16_t vlan, std::uint16_t type) {
    mac(to).mac(from);
    if (vlan != 0) u16(kEtherVlan).u16(vlan);
    return u16(type);
  }
  [[nodiscard]] Frame take() { return std::move(frame_); }

 private:
  Frame frame_;
};

std::uint32_t sum16(std::span<const std::uint8_t> data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(data[i]) << 8 : data[i];
  }
  return sum;
}

/// RFC 8200 section 8.1; 0xffff over a packet whose checksum is right.
std::uint16_t icmp6_sum(std::span<const std::uint8_t> addresses,
                        std::span<const std::uint8_t> body) {
  std::uint32_t sum =
      sum16(addresses) + sum16(body) + static_cast<std::uint32_t>(body.size()) + kIcmp6;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

Frame arp_frame(const MacAddr& own, const IpAddr& source, const IpAddr& target,
                std::uint16_t vlan) {
  Writer out;
  out.ethernet(kBroadcast, own, vlan, kEtherArp);
  out.u16(1).u16(0x0800).u8(6).u8(4).u16(kArpRequest);
  out.mac(own).ip(source).mac(MacAddr{}).ip(target);
  return out.take();
}

/// `flags` is the first byte after the checksum: router, solicited, override. No option when `link`
/// is null.
Frame nd_frame(const MacAddr& to, const MacAddr& own, std::uint16_t vlan, const IpAddr& source,
               const IpAddr& destination, std::uint8_t type, std::uint8_t flags,
               const IpAddr& target, std::uint8_t option) {
  Writer body;
  body.u8(type).u8(0).u16(0).u8(flags).u8(0).u16(0).ip(target);
  if (option != 0) body.u8(option).u8(1).mac(own);
  Frame icmp = body.take();
  std::array<std::uint8_t, 32> addresses{};
  std::memcpy(addresses.data(), source.data(), 16);
  std::memcpy(addresses.data() + 16, destination.data(), 16);
  auto checksum = static_cast<std::uint16_t>(~icmp6_sum(addresses, icmp));
  icmp[2] = static_cast<std::uint8_t>(checksum >> 8);
  icmp[3] = static_cast<std::uint8_t>(checksum & 0xff);

  Writer out;
  out.ethernet(to, own, vlan, kEtherIpv6);
  out.u8(0x60).u8(0).u16(0).u16(static_cast<std::uint16_t>(icmp.size())).u8(kIcmp6).u8(255);
  out.bytes(addresses).bytes(icmp);
  return out.take();
}

std::uint16_t read16(std::span<const std::uint8_t> data, std::size_t at) {
  return Be16::load(data.data() + at).host();
}

MacAddr read_mac(std::span<const std::uint8_t> data, std::size_t at) {
  MacAddr mac;
  std::memcpy(mac.bytes.data(), data.data() + at, mac.bytes.size());
  return mac;
}

std::optional<ResolveAnswer> parse_arp(std::span<const std::uint8_t> packet) {
  constexpr std::array<std::uint8_t, 8> kHead{0, 1, 8, 0, 6, 4, 0, kArpReply};
  if (packet.size() < kArpBytes || !std::ranges::equal(packet.first(8), kHead)) return std::nullopt;
  return ResolveAnswer{
      .address = IpAddr::v4(Be32::load(packet.data() + 14)), .mac = read_mac(packet, 8), .vlan = 0};
}

std::optional<ResolveAnswer> parse_advertisement(std::span<const std::uint8_t> packet) {
  if (packet.size() < kIpv6Bytes + kNdBytes || packet[6] != kIcmp6 || packet[7] != 255) {
    return std::nullopt;
  }
  std::size_t length = read16(packet, 4);
  if (length < kNdBytes || length > packet.size() - kIpv6Bytes) return std::nullopt;
  auto icmp = packet.subspan(kIpv6Bytes, length);
  if (icmp[0] != kAdvertisement || icmp[1] != 0) return std::nullopt;
  if (icmp6_sum(packet.subspan(8, 32), icmp) != 0xffff) return std::nullopt;
  for (auto options = icmp.subspan(kNdBytes); options.size() >= 8;) {
    std::size_t bytes = std::size_t{options[1]} * 8;
    if (bytes == 0 || bytes > options.size()) return std::nullopt;
    if (options[0] == kTargetLinkAddress && bytes == 8) {
      return ResolveAnswer{
          .address = IpAddr::v6(icmp.data() + 8), .mac = read_mac(options, 2), .vlan = 0};
    }
    options = options.subspan(bytes);
  }
  return std::nullopt;
}

}  // namespace

Frame resolve_frame(const MacAddr& own, const IpAddr& source, const IpAddr& target,
                    std::uint16_t vlan) {
  if (target.is_v4()) return arp_frame(own, source, target, vlan);
  // Solicited-node group ff02::1:ffXX:XXXX and its MAC (RFC 4291 section 2.7.1, RFC 2464 section
  // 7).
  std::array<std::uint8_t, 16> group{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0};
  std::copy_n(target.data() + 13, 3, group.begin() + 13);
  MacAddr to{{0x33, 0x33, 0xff, group[13], group[14], group[15]}};
  return nd_frame(to, own, vlan, source, IpAddr::v6(group.data()), kSolicitation, 0, target,
                  source.is_unspecified() ? std::uint8_t{0} : kSourceLinkAddress);
}

Frame announce_frame(const MacAddr& own, const IpAddr& vip, std::uint16_t vlan) {
  if (vip.is_v4()) return arp_frame(own, vip, vip, vlan);
  constexpr std::array<std::uint8_t, 16> kAllNodes{0xff, 0x02, 0, 0, 0, 0, 0, 0,
                                                   0,    0,    0, 0, 0, 0, 0, 1};
  constexpr std::uint8_t kOverride = 0x20;
  return nd_frame(MacAddr{{0x33, 0x33, 0, 0, 0, 1}}, own, vlan, vip, IpAddr::v6(kAllNodes.data()),
                  kAdvertisement, kOverride, vip, kTargetLinkAddress);
}

std::optional<ResolveAnswer> parse_resolve_answer(std::span<const std::uint8_t> frame) {
  if (frame.size() < kMacs + 2) return std::nullopt;
  std::size_t at = kMacs;
  std::uint16_t type = read16(frame, at);
  std::uint16_t vlan = 0;
  if (type == kEtherVlan) {
    if (frame.size() < kMacs + 6) return std::nullopt;
    vlan = read16(frame, at + 2) & 0xfff;
    type = read16(frame, at + 4);
    at += 4;
  }
  auto packet = frame.subspan(at + 2);
  std::optional<ResolveAnswer> answer;
  if (type == kEtherArp) answer = parse_arp(packet);
  if (type == kEtherIpv6) answer = parse_advertisement(packet);
  if (answer) answer->vlan = vlan;
  return answer;
}

}  // namespace lb
