// SPDX-License-Identifier: Apache-2.0
// corpus(): one frame of every kind that the packet path knows, good and odd, for the VIPs
// 192.0.2.10 and 2001:db8::10. Tests cut and change them; the fuzzer starts from them.
#pragma once

#include <vector>

#include "tests/support/packet_builder.h"

namespace lb::test {

namespace detail {

inline void add_family(std::vector<Bytes>& out, const char* client, const char* vip,
                       const char* router, bool v4) {
  auto packet = [&] { return PacketBuilder(client, vip); };
  auto add = [&](const PacketBuilder& builder) { out.push_back(builder.build()); };
  for (std::uint8_t flags : {kSyn, kAck, std::uint8_t{kAck | kFin}, kRst, std::uint8_t{0},
                             std::uint8_t{kSyn | kAck}, std::uint8_t{kSyn | kFin}}) {
    add(packet().tcp(4711, 80, flags).payload(3));
  }
  add(packet().tcp(4711, 80, kSyn, {2, 4, 5, 180}));
  add(packet().udp(4711, 53).payload(20));
  add(packet().sctp(4711, 80).payload(12));
  add(packet().tcp(4711, 81, kSyn));
  add(packet().udp(4711, 53).pad_to(64));
  add(packet().vlan(5).tcp(4711, 80, kSyn));
  add(packet().vlan(5, 0x88a8).vlan(6).udp(4711, 53).payload(8));
  add(packet().vlan(5).vlan(6).vlan(7).udp(4711, 53));
  add(packet().ttl(1).udp(4711, 53).payload(700));
  add(packet().echo_request(7, 1).payload(56));
  add(packet().fragment(0, true).udp(4711, 53).payload(32));
  add(packet().fragment(40, true).protocol(17, Bytes(16, 7)));
  add(packet().fragment(56, false).protocol(17, Bytes(5, 7)));
  add(packet().fragment(0, true).tcp(4711, 80, kAck).payload(20));
  add(packet().protocol(47, Bytes(8)));
  Bytes reply = PacketBuilder(vip, client).tcp(80, 4711, kAck).payload(40).build();
  add(icmp_error(router, reply, v4 ? 3 : 2, v4 ? 4 : 0, v4 ? 28 : 48, 1400));
  add(icmp_error(router, reply, v4 ? 11 : 3, 0, 60));
  Bytes first = PacketBuilder(vip, client).fragment(0, true).udp(53, 4711).payload(32).build();
  add(icmp_error(router, first, v4 ? 11 : 3, 1, 64));
}

}  // namespace detail

[[nodiscard]] inline std::vector<Bytes> corpus() {
  std::vector<Bytes> out;
  detail::add_family(out, "198.51.100.7", "192.0.2.10", "203.0.113.1", true);
  detail::add_family(out, "2001:db8:1::7", "2001:db8::10", "2001:db8:9::1", false);
  PacketBuilder four("198.51.100.7", "192.0.2.10");
  PacketBuilder six("2001:db8:1::7", "2001:db8::10");
  out.push_back(PacketBuilder(four).options(Bytes(40, 1)).tcp(4711, 80, kSyn).build());
  out.push_back(PacketBuilder(four).options(Bytes(8, 1)).echo_request(1, 2).payload(9).build());
  out.push_back(PacketBuilder(six).ext(0).ext(60, 2).ext(43).ext(51, 4).udp(4711, 53).build());
  out.push_back(PacketBuilder(six).ext(0).ext(60, 2).echo_request(1, 2).payload(9).build());
  out.push_back(PacketBuilder(six).fragment(0, false).tcp(4711, 80, kSyn).build());
  out.push_back(PacketBuilder(six).ext(0).fragment(0, true).ext(60).udp(4711, 53).build());
  PacketBuilder many = six;
  for (int i = 0; i < 9; ++i) many.ext(60);
  out.push_back(many.udp(4711, 53).build());
  Bytes reply = PacketBuilder("2001:db8::10", "2001:db8:1::7").ext(60).udp(53, 4711).build();
  out.push_back(icmp_error("2001:db8:9::1", reply, 1, 4, 56).build());
  return out;
}

}  // namespace lb::test
