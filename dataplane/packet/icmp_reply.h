// SPDX-License-Identifier: Apache-2.0
// What the director answers itself, in the frame that asked: echo replies, and the ICMP errors a
// router owes (RFC 792, RFC 4443). Worker only; the answer leaves by the port the frame came from,
// to the MAC it came from, with the VLAN tags it came with.
#pragma once

#include <cstdint>

#include "dataplane/base/clock.h"
#include "dataplane/packet/packet.h"

namespace lb {

/// A bucket of `rate` tokens a second that holds one second's worth; time is the worker's tick.
class TokenBucket {
 public:
  explicit TokenBucket(std::uint32_t rate)
      : rate_(rate), millitokens_(rate * std::uint64_t{1000}) {}
  /// Takes one token; false when there is none.
  [[nodiscard]] bool take(TickMs now) noexcept;

 private:
  std::uint32_t rate_;
  std::uint64_t millitokens_;
  TickMs last_ = 0;
  bool started_ = false;
};

/// Turns an echo request into its reply: addresses and MACs swapped, TTL 64, IP options and
/// extension headers left out. REQUIRES: parsed.kind == EchoRequest.
void make_echo_reply(Packet& packet, const ParsedPacket& parsed, const MacAddr& own) noexcept;

enum class IcmpProblem : std::uint8_t { TimeExceeded };

/// Turns a packet into the ICMP error about it, from its destination to its source, quoting as
/// much of it as 576 (IPv4) or 1280 (IPv6) bytes hold. False, and nothing changed: no error may be
/// sent about such a packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4: an ICMP error, a later
/// fragment, a link-layer multicast), or there is no headroom for it.
/// REQUIRES: parse() found a Flow, a LaterFragment or an IcmpError.
[[nodiscard]] bool make_icmp_error(Packet& packet, const ParsedPacket& parsed, const MacAddr& own,
                                   IcmpProblem problem) noexcept;

}  // namespace lb
