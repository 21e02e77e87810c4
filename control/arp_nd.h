// SPDX-License-Identifier: Apache-2.0
// Frames of address resolution as bytes: ARP (RFC 826, announcements RFC 5227) and IPv6 neighbour
// discovery (RFC 4861), with an optional 802.1Q tag. Pure functions: TaggedNeighbours and
// VipAnnouncer send and receive them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/addr.h"

namespace lb {

using Frame = std::vector<std::uint8_t>;

/// Asks "who has `target`": an ARP request, or a neighbour solicitation to the solicited-node
/// group. `source` of the same family, or unspecified (an ARP probe; IPv6 then sends no link-layer
/// option). vlan 0: no tag.
[[nodiscard]] Frame resolve_frame(const MacAddr& own, const IpAddr& source, const IpAddr& target,
                                  std::uint16_t vlan);

/// Tells the network that `vip` is at `own`: gratuitous ARP request, or unsolicited neighbour
/// advertisement with the override flag to all nodes.
[[nodiscard]] Frame announce_frame(const MacAddr& own, const IpAddr& vip, std::uint16_t vlan);

struct ResolveAnswer {
  IpAddr address;
  MacAddr mac;
  std::uint16_t vlan = 0;  ///< as found in the frame; the kernel may have taken it out
};
/// Reads an ARP reply or a neighbour advertisement with its link-layer option. Nothing else, and
/// nothing malformed: lengths, hop limit 255, code and ICMPv6 checksum are checked.
[[nodiscard]] std::optional<ResolveAnswer> parse_resolve_answer(
    std::span<const std::uint8_t> frame);

}  // namespace lb
