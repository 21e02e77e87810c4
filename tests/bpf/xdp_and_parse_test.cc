// SPDX-License-Identifier: Apache-2.0
// The XDP program and the C++ parser on the same random packets: what the path would forward is
// handed over, and what the program drops the path would not forward either.
#include <random>

#include "dataplane/packet/parse.h"
#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

constexpr int kRounds = 60'000;

class RandomPackets {
 public:
  explicit RandomPackets(unsigned seed) : random_(seed) {}

  Bytes next() {
    auto packet = one_of(2) == 0 ? v4() : v6();
    Bytes frame = packet.build();
    if (one_of(2) == 0) return frame;
    for (std::uint32_t i = one_of(3); i-- > 0;)
      frame[12 + one_of(frame.size() - 12)] ^= 1U << one_of(8);
    if (one_of(4) == 0) frame.resize(14 + one_of(frame.size() - 13));
    return frame;
  }

 private:
  std::uint32_t one_of(std::size_t count) { return static_cast<std::uint32_t>(random_() % count); }
  template <class T>
  T any(std::initializer_list<T> values) {
    return values.begin()[one_of(values.size())];
  }

  void tags(PacketBuilder& packet) {
    packet.ethernet(kPortMac, kPeerMac);
    for (std::uint32_t i = any({0U, 0U, 0U, 1U, 2U, 3U}); i-- > 0;) {
      packet.vlan(static_cast<std::uint16_t>(one_of(4096)), any<std::uint16_t>({0x8100, 0x88a8}));
    }
  }
  void transport(PacketBuilder& packet) {
    auto port = any<std::uint16_t>({80, 81, 443, 53, 8000, 8050, 8100, 8101, 0});
    switch (one_of(5)) {
      case 0:
        packet.udp(1234, port);
        break;
      case 1:
        packet.sctp(1234, port);
        break;
      case 2:
        packet.echo_request(1, 1);
        break;
      case 3:
        packet.icmp(static_cast<std::uint8_t>(one_of(16)), 0);
        break;
      default:
        packet.tcp(1234, port, static_cast<std::uint8_t>(one_of(64)));
        break;
    }
    packet.payload(one_of(100));
  }
  PacketBuilder v4() {
    PacketBuilder packet(kClient, any({kVip, kVip, kPassVip, "192.0.2.99"}));
    tags(packet);
    if (one_of(4) == 0) packet.options(Bytes(one_of(41), 1));
    transport(packet);
    if (one_of(5) == 0) packet.fragment(8 * one_of(200), one_of(2) == 0);
    return packet;
  }
  PacketBuilder v6() {
    PacketBuilder packet(kClient6, any({kVip6, kVip6, "2001:db8::99"}));
    tags(packet);
    for (std::uint32_t i = any({0U, 0U, 1U, 3U, 8U, 9U}); i-- > 0;) {
      packet.ext(any<std::uint8_t>({0, 43, 60}), static_cast<std::uint8_t>(1 + one_of(3)));
    }
    if (one_of(5) == 0) packet.fragment(8 * one_of(200), one_of(2) == 0);
    transport(packet);
    return packet;
  }
  std::mt19937 random_;
};

class XdpAndParse : public XdpProgramRun {
 protected:
  static bool is_vip(const ParsedPacket& parsed, const char* vip) {
    IpAddr address = test::ip(vip);
    return parsed.family == address.family() &&
           std::memcmp(parsed.family == Family::V4 ? static_cast<const void*>(&parsed.key.v4.vip)
                                                   : parsed.key.v6.vip,
                       address.data(), address.size()) == 0;
  }
  /// What the fixture's services take.
  static bool is_served(const ParsedPacket& parsed) {
    bool v4 = parsed.family == Family::V4;
    unsigned port = (v4 ? parsed.key.v4.vip_port : parsed.key.v6.vip_port).host();
    if (is_vip(parsed, kVip)) {
      return (parsed.proto == 6 && port == 80) ||
             (parsed.proto == 17 && port >= 8000 && port <= 8100);
    }
    if (is_vip(parsed, kPassVip)) return parsed.proto == 132;
    return is_vip(parsed, kVip6) &&
           ((parsed.proto == 6 && port == 443) || (parsed.proto == 17 && port == 53));
  }
  static bool path_takes(const ParsedPacket& parsed) {
    switch (parsed.kind) {
      case PacketKind::Flow:
        return is_served(parsed);
      case PacketKind::EchoRequest:
        return is_vip(parsed, kVip) || is_vip(parsed, kVip6);
      case PacketKind::IcmpError:
        return is_vip(parsed, kVip) || is_vip(parsed, kPassVip) || is_vip(parsed, kVip6);
      case PacketKind::LaterFragment:  // of kPassVip: only where a service may have taken the first
        return is_vip(parsed, kVip) || is_vip(parsed, kVip6) ||
               (is_vip(parsed, kPassVip) && parsed.proto == 132);
      case PacketKind::Dropped:
        return false;
    }
    return false;
  }
};

TEST_F(XdpAndParse, AgreeOnRandomPackets) {
  RandomPackets packets(20'240'607);
  int handed = 0, dropped = 0, passed = 0;
  for (int round = 0; round < kRounds; ++round) {
    Bytes frame = packets.next();
    ParsedPacket parsed;
    parse(frame.data(), static_cast<std::uint32_t>(frame.size()), parsed);
    auto outcome = run(frame);
    ASSERT_TRUE(outcome != "wrong" && outcome != "uncounted") << round;
    if (path_takes(parsed)) {
      ASSERT_EQ(outcome, "af_xdp")
          << "round " << round << ": the path would take " << testing::PrintToString(frame);
    }
    ++(outcome == "af_xdp" ? handed : outcome == "pass" ? passed : dropped);
  }
  EXPECT_GT(handed, kRounds / 10);
  EXPECT_GT(dropped, kRounds / 10);
  EXPECT_GT(passed, kRounds / 10);
}

}  // namespace
}  // namespace lb
