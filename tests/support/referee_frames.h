// SPDX-License-Identifier: Apache-2.0
// The frames that leave, as the referee writes them: from scratch, byte by byte. Tests only.
#pragma once

#include "tests/support/referee_reading.h"

namespace lb::test {

/// To a real server in DR mode: link layer anew, TTL one less if `decrement`, the rest as it came.
[[nodiscard]] Bytes forwarded(const Bytes& frame, const Reading& reading, const RealServer& to,
                              const EgressPort& port, bool decrement);
/// The reply to an echo request: RFC 792, RFC 4443 section 4.2.
[[nodiscard]] Bytes echo_reply(const Bytes& frame, const Reading& reading, const MacAddr& own);
/// ICMP time exceeded about a packet: RFC 792, RFC 1812 section 4.3.2.3, RFC 4443 section 3.3.
[[nodiscard]] Bytes time_exceeded(const Bytes& frame, const Reading& reading, const MacAddr& own);

}  // namespace lb::test
