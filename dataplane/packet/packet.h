// SPDX-License-Identifier: Apache-2.0
// Packet: a frame in a worker's hands, on its way through the batch pipeline.
// ParsedPacket: what parse() found in it; offsets only, checked once, trusted afterwards.
#pragma once

#include <cstdint>

#include "dataplane/base/drop_reason.h"
#include "dataplane/base/ids.h"
#include "dataplane/packet/flow_key.h"

namespace lb {

/// `frame` is opaque to the path (the UMEM address of the chunk); the one who hands the packet in
/// gets it back in exactly one of BatchOut's lists, unless the path holds it (early fragments) and
/// gives it back later.
struct Packet {
  std::uint64_t frame = 0;
  std::uint8_t* data = nullptr;  ///< first byte of the Ethernet header
  std::uint32_t bytes = 0;       ///< from the Ethernet header on, without FCS
  std::uint16_t headroom = 0;    ///< writable bytes before `data`
  std::uint16_t tailroom = 0;    ///< writable bytes behind the last one
  PortIndex port{};              ///< in: port of arrival; out: port of departure
};

enum class PacketKind : std::uint8_t {
  Flow,  ///< TCP, UDP or SCTP with its ports: whole, or a first fragment (is_first_fragment)
  LaterFragment,  ///< no ports: client, vip, proto and fragment_id are valid
  IcmpError,      ///< key is the quoted tuple, reversed: as the client would send it
  EchoRequest,    ///< ICMP or ICMPv6 echo request
  Dropped,        ///< drop says why
};

struct ParsedPacket {
  // Hot:
  union {
    FlowKey4 v4;
    FlowKey6 v6;
  } key{.v6 = {}};
  std::uint64_t hash = 0;  ///< flow_hash of key; for fragments and echo of the key without ports
  PacketKind kind = PacketKind::Dropped;
  Family family = Family::V4;
  DropReason drop = DropReason::Truncated;
  std::uint8_t proto = 0;      ///< of the transport header that was found
  std::uint8_t tcp_flags = 0;  ///< as in the TCP header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16
  std::uint8_t vlan_tags = 0;  ///< 0..2
  bool is_first_fragment = false;
  bool ttl_expired = false;     ///< TTL or hop limit <= 1
  std::uint16_t l3_offset = 0;  ///< bytes from Packet::data
  std::uint16_t l4_offset = 0;
  // Cold:
  std::uint32_t l3_bytes = 0;     ///< IP packet length by its header (Ethernet padding not counted)
  std::uint32_t fragment_id = 0;  ///< IPv4 id or IPv6 fragment id, host order
  std::uint32_t fragment_offset = 0;  ///< bytes
  bool more_fragments = false;
};

}  // namespace lb
