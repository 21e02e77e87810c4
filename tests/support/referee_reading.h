// SPDX-License-Identifier: Apache-2.0
// What a frame is, read byte by byte for the referee: written from the RFCs and from section 5 of
// the design, not from the parser or the XDP program. Where several things are wrong with a packet
// all of them are named, since none of the two has to see them in any order. Slow; tests only.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <set>

#include "dataplane/base/drop_reason.h"
#include "dataplane/table/service_table.h"
#include "tests/support/packet_builder.h"

namespace lb::test {

using Reasons = std::set<DropReason>;

/// A flow from its client to the VIP; IPv4 addresses in the first four bytes.
struct RefTuple {
  std::uint8_t family = 4;
  std::uint8_t proto = 0;
  std::array<std::uint8_t, 16> client{};
  std::array<std::uint8_t, 16> vip{};
  std::uint16_t client_port = 0;
  std::uint16_t vip_port = 0;
  friend auto operator<=>(const RefTuple&, const RefTuple&) = default;
};

/// A datagram that comes in fragments (RFC 791, RFC 8200 section 4.5: without the protocol).
struct RefDatagram {
  std::uint8_t family = 4;
  std::uint8_t proto = 0;
  std::uint32_t id = 0;
  std::array<std::uint8_t, 16> source{};
  std::array<std::uint8_t, 16> destination{};
  friend auto operator<=>(const RefDatagram&, const RefDatagram&) = default;
};

struct Reading {
  enum class Sort : std::uint8_t {
    Kernel,   ///< not for the balancer, or for the director's own stack
    Dropped,  ///< `defects` says why
    Flow,     ///< TCP, UDP or SCTP of `service`: whole, or a first fragment
    LaterFragment,
    IcmpError,  ///< `tuple` is the quoted one, turned around
    Echo,
  };
  Sort sort = Sort::Kernel;
  Reasons defects;
  RefTuple tuple;
  RefDatagram datagram;
  bool first_fragment = false;
  std::uint8_t tcp_flags = 0;
  std::uint8_t ttl = 0;
  std::size_t l3 = 0;        ///< where the IP header begins
  std::size_t l4 = 0;        ///< and what it carries
  std::size_t l3_bytes = 0;  ///< of the IP packet
  const Service* service = nullptr;
};

/// `mac`: of the port of arrival. The services are those of `spec`, which outlives the reading.
[[nodiscard]] Reading read_frame(const Bytes& frame, const ServiceTableSpec& spec,
                                 const MacAddr& mac);

/// The service that takes this port of this VIP: an exact port before a range before any port.
[[nodiscard]] const Service* service_for(const ServiceTableSpec& spec, const RefTuple& tuple);

}  // namespace lb::test
