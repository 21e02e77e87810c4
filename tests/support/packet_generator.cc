// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packet_generator.h"

#include <algorithm>

namespace lb::test {
namespace {

const MacAddr kFrom = mac("02:00:00:00:00:bb");

}  // namespace

Bytes PacketGenerator::next() {
  Bytes frame;
  if (!waiting_.empty() && !once_in(3)) {
    frame = std::move(waiting_.front());
    waiting_.pop_front();
  } else {
    frame = structured();
  }
  if (once_in(5)) mutate(frame);
  frame.resize(std::clamp<std::size_t>(frame.size(), 14, kFrameMax));
  return frame;
}

// Few enough that flows come again, and sources that nobody has.
IpAddr PacketGenerator::client(bool v4) {
  if (once_in(60)) {
    return ip(v4 ? any({"127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "192.0.2.10"})
                 : any({"::", "::1", "ff02::1", "2001:db8::10", "2001:db8::11"}));
  }
  return ip(v4 ? any({"198.51.100.7", "198.51.100.8", "203.0.113.9"})
               : any({"2001:db8:1::7", "2001:db8:1::8", "2001:db8:2:3:4:5:6:7"}));
}

std::uint16_t PacketGenerator::client_port() {
  return static_cast<std::uint16_t>(once_in(80) ? 0 : 1000 + one_of(60));
}

std::uint16_t PacketGenerator::port_of(const ServiceAddr& service) {
  if (once_in(25)) return any<std::uint16_t>({0, 1, 79, 81, 7999, 8101, 65535});
  const std::uint32_t ports = service.port_last - service.port_first + 1U;
  const std::uint32_t few = ports > 200 ? 200 : ports;
  return static_cast<std::uint16_t>(service.port_first + one_of(few) % 7 * (few / 7 + 1) % few);
}

std::size_t PacketGenerator::size() {
  switch (one_of(12)) {
    case 0:
      return 1400 + one_of(120);  // about the MTU
    case 1:
      return 500 + one_of(140);  // about what an ICMP error quotes
    case 2:
      return 0;
    default:
      return one_of(80);
  }
}

void PacketGenerator::tags(PacketBuilder& packet) {
  packet.ethernet(to_, kFrom);
  if (once_in(50)) {
    packet.ethernet(
        any({mac("02:00:00:00:00:cc"), mac("ff:ff:ff:ff:ff:ff"), mac("00:00:5e:00:01:07"),
             mac("00:00:5e:00:02:07"), mac("01:00:5e:00:00:05")}),
        kFrom);
  }
  for (std::uint32_t i = any({0U, 0U, 0U, 0U, 0U, 1U, 1U, 2U, 2U, 3U}); i-- > 0;) {
    packet.vlan(static_cast<std::uint16_t>(random_()), any<std::uint16_t>({0x8100, 0x88a8}));
  }
  if (once_in(150)) packet.vlan(1).vlan(2).vlan(3).vlan(4);
}

// What stands between the link layer and the transport.
void PacketGenerator::headers(PacketBuilder& packet, bool v4) {
  packet.ttl(once_in(25) ? static_cast<std::uint8_t>(one_of(3))
                         : static_cast<std::uint8_t>(2 + one_of(254)));
  packet.tos(static_cast<std::uint8_t>(random_())).id(one_of(40)).dont_fragment(once_in(2));
  if (v4) {
    if (once_in(15)) packet.options(Bytes(1 + one_of(40), 1));
  } else if (once_in(8)) {
    for (std::uint32_t i = any({1U, 1U, 2U, 3U, 8U, 9U}); i-- > 0;) {
      const auto kind = any<std::uint8_t>({0, 43, 60, 51});
      packet.ext(kind, static_cast<std::uint8_t>((kind == 51 ? 3 : 1) + one_of(3)));
    }
  }
  if (once_in(20)) packet.fragment(8 * any({0U, 0U, 1U, 2U, 3U, one_of(190), 8190U}), once_in(2));
  if (!v4 && once_in(40)) packet.ext(any<std::uint8_t>({0, 60}));
}

void PacketGenerator::transport(PacketBuilder& packet, Proto proto, std::uint16_t from,
                                std::uint16_t to) {
  switch (proto) {
    case Proto::Udp:
      packet.udp(from, to);
      break;
    case Proto::Sctp:
      packet.sctp(from, to);
      break;
    case Proto::Icmp:
    case Proto::Icmp6:
      if (once_in(2)) {
        packet.echo_request(from, 1);
      } else {
        packet.icmp(any<std::uint8_t>({0, 1, 3, 5, 8, 11, 12, 13, 128, 129, 134, 135, 136, 200}),
                    0);
      }
      break;
    case Proto::Tcp:
      packet.tcp(from, to,
                 once_in(4) ? static_cast<std::uint8_t>(random_())
                            : any<std::uint8_t>({kSyn, kSyn, kAck, kAck, kAck | kPsh, kAck | kFin,
                                                 kRst, kRst | kAck, kSyn | kAck, kPsh}),
                 once_in(6) ? Bytes(one_of(40), 1) : Bytes{});
      break;
  }
  packet.payload(size());
}

// About a packet that the VIP has sent, or nearly so.
Bytes PacketGenerator::icmp_error_to(const ServiceAddr& service, const IpAddr& client) {
  const bool v4 = service.vip.is_v4();
  PacketBuilder about(once_in(20) ? ip(v4 ? "192.0.2.200" : "2001:db8::200") : service.vip, client);
  if (v4 && once_in(6)) about.options(Bytes(8, 1));
  if (!v4 && once_in(4)) about.ext(60).ext(any<std::uint8_t>({0, 43, 60}), 2);
  if (once_in(10)) about.fragment(any({0U, 0U, 8U}), true);
  transport(about, once_in(15) ? Proto::Icmp : service.proto, port_of(service), client_port());
  const Bytes quoted = about.build();
  const std::size_t quote = once_in(3) ? one_of(90) : 120;
  PacketBuilder error(ip(v4 ? "203.0.113.1" : "2001:db8:9::1"), service.vip);
  if (once_in(30)) error = PacketBuilder(this->client(v4), service.vip);
  tags(error);
  error.ttl(once_in(25) ? 1 : 60);
  error.icmp(v4 ? any<std::uint8_t>({3, 11, 12}) : any<std::uint8_t>({1, 2, 3, 4}), 0, 1400);
  error.payload(std::span(quoted).subspan(14, std::min(quote, quoted.size() - 14)));
  return error.build();
}

// The first of its fragments; the others wait, in order or not.
Bytes PacketGenerator::in_pieces(const PacketBuilder& packet) {
  std::vector<Bytes> pieces = fragment(packet.build(), 8 * (1 + one_of(30)), one_of(1 << 16));
  if (pieces.size() > 12) pieces.resize(12);
  if (once_in(3)) std::ranges::shuffle(pieces, random_);
  waiting_.insert(waiting_.end(), pieces.begin() + 1, pieces.end());
  return pieces.front();
}

Bytes PacketGenerator::structured() {
  const ServiceAddr& service = services_[one_of(services_.size())];
  const bool v4 = service.vip.is_v4();
  const IpAddr from = client(v4);
  if (once_in(12)) return icmp_error_to(service, from);
  PacketBuilder packet(from, once_in(50) ? ip(v4 ? "192.0.2.99" : "2001:db8::99") : service.vip);
  tags(packet);
  if (once_in(30)) {
    transport(packet.ttl(9), service.proto, client_port(), port_of(service));
    return in_pieces(packet.payload(200));
  }
  headers(packet, v4);
  if (once_in(40)) {
    packet.protocol(any<std::uint8_t>({2, 47, 50, 59, 89, 112}), Bytes(one_of(40)));
  } else {
    const Proto proto = !once_in(15) ? service.proto
                        : once_in(2) ? any({Proto::Tcp, Proto::Udp, Proto::Sctp})
                        : v4         ? Proto::Icmp
                                     : Proto::Icmp6;
    transport(packet, proto, client_port(), port_of(service));
  }
  if (once_in(4)) packet.pad_to(60 + one_of(20));
  return packet.build();
}

void PacketGenerator::mutate(Bytes& frame) {
  const auto at = [&] {
    return once_in(3) ? one_of(frame.size()) : 12 + one_of(frame.size() - 12);
  };
  for (std::uint32_t i = one_of(3); i-- > 0;) {
    frame[at()] ^= static_cast<std::uint8_t>(1U << one_of(8));
  }
  switch (one_of(4)) {
    case 0:
      frame.resize(14 + one_of(frame.size() - 13));
      break;
    case 1:
      frame[at()] = any<std::uint8_t>({0, 1, 4, 6, 17, 44, 0x45, 0x46, 0x60, 0x7f, 0xff});
      break;
    case 2:
      frame.resize(frame.size() + one_of(30));
      break;
    default:
      break;
  }
}

}  // namespace lb::test
