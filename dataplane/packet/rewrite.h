// SPDX-License-Identifier: Apache-2.0
// rewrite(): makes a frame leave towards its real server, in place (DR mode). The worker calls it
// for each packet that parse() found good; it decides nothing.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/wire.h"
#include "dataplane/table/service_table.h"

namespace lb {

/// Lowers TTL or hop limit by one; for IPv4 the header checksum follows (RFC 1624), right when it
/// was right and wrong when it was wrong. REQUIRES: the field is over 0.
inline void decrement_ttl(std::uint8_t* l3, Family family) noexcept {
  if (family == Family::V6) {
    --l3[7];
    return;
  }
  std::uint16_t before = 0;  // TTL and protocol: one word of the sum
  std::uint16_t sum = 0;
  std::memcpy(&before, l3 + 8, 2);
  std::memcpy(&sum, l3 + 10, 2);
  // In a register: a byte that is stored and read back as half of a word waits for the store.
  const std::uint16_t one = std::endian::native == std::endian::little ? 1 : 0x100;
  const auto after = static_cast<std::uint16_t>(before - one);
  sum = checksum_update(sum, before, after);
  std::memcpy(l3 + 8, &after, 2);
  std::memcpy(l3 + 10, &sum, 2);
}

/// Replaces the link layer by one without tags or with the tag `vlan` (0: none), growing into the
/// headroom or giving bytes back to it. False: no headroom, nothing changed.
bool replace_vlan(Packet& packet, const ParsedPacket& parsed, std::uint16_t vlan) noexcept;

/// Destination MAC = the RS, source MAC = the egress port, VLAN tag as the RS needs (the tags that
/// came are gone), TTL or hop limit one less if `decrement`, Packet::port = the egress port.
/// The drop reason otherwise, with the packet unchanged: TooLarge (the IP packet is larger than
/// the port's MTU) or NoHeadroom. REQUIRES: rs.has_mac; the TTL is over 1 if `decrement`.
[[nodiscard]] inline std::optional<DropReason> rewrite(Packet& packet, const ParsedPacket& parsed,
                                                       const RealServer& rs, const EgressPort& port,
                                                       bool decrement) noexcept {
  if (parsed.l3_bytes > port.mtu) [[unlikely]]
    return DropReason::TooLarge;
  std::uint8_t* l3 = packet.data + parsed.l3_offset;
  if ((parsed.vlan_tags | rs.vlan) != 0) [[unlikely]] {
    if (!replace_vlan(packet, parsed, rs.vlan)) return DropReason::NoHeadroom;
  }
  std::memcpy(packet.data, rs.mac.bytes.data(), 6);
  std::memcpy(packet.data + 6, port.mac.bytes.data(), 6);
  if (decrement) decrement_ttl(l3, parsed.family);
  packet.port = rs.egress;
  return std::nullopt;
}

}  // namespace lb
