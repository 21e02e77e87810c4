// SPDX-License-Identifier: Apache-2.0
// parse(): the one place where untrusted bytes are checked. What it found is trusted afterwards.
// Pure; runs on the worker for each packet, also for those that the XDP program has seen already.
#pragma once

#include <cstdint>

#include "dataplane/packet/packet.h"

namespace lb {

/// Reads the frame of `bytes` bytes at `data` and fills all of `out` but the hash. Whether the
/// packet is for a VIP, and whether its source is one, is not known here.
///
/// The frame: at most two VLAN tags (0x8100, 0x88a8), IPv4 or IPv6 (RFC 791, RFC 8200), at most
/// LB_EXT_HEADERS_MAX extension headers. Dropped are, in this order: Truncated, VlanDepth,
/// BadIpHeader, BadSource (multicast, broadcast, loopback or zero), ExtHeaders, fragments that
/// could only be an attack (FragmentBad: RFC 1858, RFC 3128), BadL4Header, BadFlags. ICMP and
/// other protocols that are never balanced get VipUnmatched. An IPv6 atomic fragment (RFC 6946) is
/// a whole packet. An ICMP error's key is the quoted tuple reversed; it must quote a packet from
/// the address the error is for, with 8 bytes of a TCP, UDP or SCTP header that has the ports,
/// else Truncated (the quote ends too early) or IcmpUnknown.
void parse(const std::uint8_t* data, std::uint32_t bytes, ParsedPacket& out) noexcept;

}  // namespace lb
