// SPDX-License-Identifier: Apache-2.0
#include "tests/support/referee_frames.h"

#include <algorithm>

namespace lb::test {
namespace {

Bytes part(const Bytes& bytes, std::size_t from, std::size_t to) {
  return {bytes.begin() + static_cast<std::ptrdiff_t>(from),
          bytes.begin() + static_cast<std::ptrdiff_t>(to)};
}

// HC' = ~(~HC + ~m + m') in one's complement (RFC 1624, equation 3).
std::uint32_t changed_sum(std::uint32_t sum, std::uint32_t before, std::uint32_t after) {
  const std::uint32_t total = (0xffff - sum) + (0xffff - before) + after;
  return total == 0 ? 0xffff : 0xffff - ((total - 1) % 0xffff + 1);
}

// The link layer of an answer: back to the sender, by the tags it came with.
Bytes link_back(const Bytes& frame, const Reading& reading, const MacAddr& own) {
  Bytes out = part(frame, 6, 12);
  put(out, own.bytes);
  put(out, part(frame, 12, reading.l3));
  return out;
}

// An IP header of the director's own, from the packet's destination to its source.
Bytes header_back(const Bytes& frame, const Reading& reading, std::size_t payload) {
  const std::size_t ip = reading.l3;
  Bytes out;
  if (reading.tuple.family == 6) {
    out = {0x60, 0, 0, 0};
    put16(out, static_cast<std::uint32_t>(payload));
    put(out, Bytes{58, 64});
    put(out, part(frame, ip + 24, ip + 40));
    put(out, part(frame, ip + 8, ip + 24));
    return out;
  }
  out = {0x45, 0};
  put16(out, static_cast<std::uint32_t>(20 + payload));
  put(out, Bytes{0, 0, 0x40, 0, 64, 1, 0, 0});
  put(out, part(frame, ip + 16, ip + 20));
  put(out, part(frame, ip + 12, ip + 16));
  set16(out, 10, checksum(out));
  return out;
}

}  // namespace

Bytes forwarded(const Bytes& frame, const Reading& reading, const RealServer& to,
                const EgressPort& port, bool decrement) {
  Bytes out;
  put(out, to.mac.bytes);
  put(out, port.mac.bytes);
  if (to.vlan != 0) {
    put16(out, 0x8100);
    put16(out, to.vlan);
  }
  put16(out, reading.tuple.family == 4 ? 0x0800 : 0x86dd);
  const std::size_t ip = out.size();
  put(out, part(frame, reading.l3, frame.size()));
  if (!decrement) return out;
  if (reading.tuple.family == 6) {
    out[ip + 7] = static_cast<std::uint8_t>(out[ip + 7] - 1);
    return out;
  }
  const std::uint32_t before = get16(out, ip + 8);
  out[ip + 8] = static_cast<std::uint8_t>(out[ip + 8] - 1);
  set16(out, ip + 10, changed_sum(get16(out, ip + 10), before, get16(out, ip + 8)));
  return out;
}

Bytes echo_reply(const Bytes& frame, const Reading& reading, const MacAddr& own) {
  Bytes message = part(frame, reading.l4, reading.l3 + reading.l3_bytes);
  const std::uint32_t before = get16(message, 0);
  message[0] = reading.tuple.family == 4 ? 0 : 129;
  set16(message, 2, changed_sum(get16(message, 2), before, get16(message, 0)));
  Bytes out = link_back(frame, reading, own);
  put(out, header_back(frame, reading, message.size()));
  put(out, message);
  return out;
}

Bytes time_exceeded(const Bytes& frame, const Reading& reading, const MacAddr& own) {
  const bool v4 = reading.tuple.family == 4;
  const std::size_t room = v4 ? 576 - 20 - 8 : 1280 - 40 - 8;
  Bytes message{static_cast<std::uint8_t>(v4 ? 11 : 3), 0, 0, 0, 0, 0, 0, 0};
  put(message, part(frame, reading.l3, reading.l3 + std::min(room, reading.l3_bytes)));
  Bytes out = link_back(frame, reading, own);
  const Bytes header = header_back(frame, reading, message.size());
  std::uint64_t pseudo = 0;
  if (!v4) pseudo = word_sum(std::span(header).subspan(8)) + 58 + message.size();
  set16(message, 2, checksum(message, pseudo));
  put(out, header);
  put(out, message);
  return out;
}

}  // namespace lb::test
