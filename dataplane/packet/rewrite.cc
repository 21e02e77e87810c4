// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/rewrite.h"

namespace lb {

bool replace_vlan(Packet& packet, const ParsedPacket& parsed, std::uint16_t vlan) noexcept {
  const std::uint32_t before = parsed.l3_offset;
  const std::uint32_t after = wire::kEthernetBytes + (vlan != 0 ? wire::kVlanBytes : 0);
  if (after > before) {
    const std::uint32_t grow = after - before;
    if (packet.headroom < grow) return false;
    packet.data -= grow;
    packet.bytes += grow;
    packet.headroom = static_cast<std::uint16_t>(packet.headroom - grow);
  } else {
    const std::uint32_t shrink = before - after;
    packet.data += shrink;
    packet.bytes -= shrink;
    packet.headroom = static_cast<std::uint16_t>(packet.headroom + shrink);
  }
  std::uint8_t* at = packet.data + 12;
  if (vlan != 0) {
    wire::store16(at, wire::kEtherVlan);
    wire::store16(at + 2, vlan);
    at += wire::kVlanBytes;
  }
  wire::store16(at, parsed.family == Family::V4 ? wire::kEtherIpv4 : wire::kEtherIpv6);
  return true;
}

}  // namespace lb
