// SPDX-License-Identifier: Apache-2.0
// Numbers of the wire formats, by their standards. For dataplane/packet only.
#pragma once

#include <cstdint>

#include "dataplane/base/byte_order.h"

namespace lb::wire {

inline constexpr std::uint32_t kEthernetBytes = 14;
inline constexpr std::uint32_t kVlanBytes = 4;
inline constexpr std::uint32_t kIpv4Bytes = 20;
inline constexpr std::uint32_t kIpv6Bytes = 40;
inline constexpr std::uint32_t kIcmpBytes = 8;
inline constexpr std::uint32_t kTcpBytes = 20;
inline constexpr std::uint32_t kUdpBytes = 8;
inline constexpr std::uint32_t kSctpBytes = 12;

inline constexpr std::uint16_t kEtherIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherIpv6 = 0x86dd;
inline constexpr std::uint16_t kEtherVlan = 0x8100;         // IEEE 802.1Q
inline constexpr std::uint16_t kEtherServiceVlan = 0x88a8;  // IEEE 802.1ad

inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58, kSctp = 132;
// IPv6 extension headers that are walked (RFC 8200 section 4, RFC 4302).
inline constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuth = 51,
                              kDestOptions = 60;

inline constexpr std::uint16_t kMoreFragments = 0x2000;  // IPv4 flags and offset, host order
inline constexpr std::uint16_t kOffsetMask = 0x1fff;

inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16, kTcpFlagsMask = 0x3f;

inline constexpr std::uint8_t kIcmpEchoReply = 0, kIcmpUnreachable = 3, kIcmpEcho = 8,
                              kIcmpTimeExceeded = 11, kIcmpParameter = 12;
inline constexpr std::uint8_t kIcmp6Unreachable = 1, kIcmp6TimeExceeded = 3, kIcmp6Parameter = 4,
                              kIcmp6Echo = 128, kIcmp6EchoReply = 129;

[[nodiscard]] inline std::uint16_t load16(const std::uint8_t* at) noexcept {
  return Be16::load(at).host();
}
[[nodiscard]] inline std::uint32_t load32(const std::uint8_t* at) noexcept {
  return Be32::load(at).host();
}
inline void store16(std::uint8_t* at, std::uint32_t host) noexcept {
  Be16::from_host(static_cast<std::uint16_t>(host)).store(at);
}
inline void store32(std::uint8_t* at, std::uint32_t host) noexcept {
  Be32::from_host(host).store(at);
}

}  // namespace lb::wire
