// SPDX-License-Identifier: Apache-2.0
// Network addresses as types: MacAddr, IpAddr (of either family), ServiceAddr. Plain values, any
// thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "dataplane/base/byte_order.h"
#include "dataplane/base/result.h"

namespace lb {

enum class Family : std::uint8_t { V4 = 4, V6 = 6 };

struct MacAddr {
  std::array<std::uint8_t, 6> bytes{};
  /// Accepts 02:00:00:00:00:01, in either case. Refuses anything else.
  [[nodiscard]] static Result<MacAddr> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_zero() const { return *this == MacAddr{}; }
  [[nodiscard]] bool is_multicast() const { return (bytes[0] & 1) != 0; }
  friend auto operator<=>(const MacAddr&, const MacAddr&) = default;
};
static_assert(sizeof(MacAddr) == 6);

/// An IPv4 or IPv6 address in 16 bytes; IPv4 lies in the first four, the rest is zero, so that it
/// is the address field of the map keys in bpf/lb_abi.h as it stands.
class IpAddr {
 public:
  constexpr IpAddr() = default;
  [[nodiscard]] static IpAddr v4(Be32 address) noexcept {
    IpAddr ip;
    address.store(ip.bytes_.data());
    return ip;
  }
  /// REQUIRES: 16 bytes at `bytes`.
  [[nodiscard]] static IpAddr v6(const void* bytes) noexcept {
    IpAddr ip;
    ip.family_ = Family::V6;
    std::memcpy(ip.bytes_.data(), bytes, 16);
    return ip;
  }
  /// "192.0.2.1" or "2001:db8::1" (no brackets, no zone).
  [[nodiscard]] static Result<IpAddr> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] Family family() const noexcept { return family_; }
  [[nodiscard]] bool is_v4() const noexcept { return family_ == Family::V4; }
  [[nodiscard]] Be32 as_v4() const noexcept { return Be32::load(bytes_.data()); }
  /// 16 bytes, network order; IPv4 in the first four.
  [[nodiscard]] const std::uint8_t* data() const noexcept { return bytes_.data(); }
  /// 4 or 16.
  [[nodiscard]] std::size_t size() const noexcept { return is_v4() ? 4 : 16; }
  [[nodiscard]] bool is_unspecified() const noexcept;
  [[nodiscard]] bool is_multicast() const noexcept;
  [[nodiscard]] bool is_loopback() const noexcept;
  /// IPv4: 255.255.255.255.
  [[nodiscard]] bool is_broadcast() const noexcept;
  /// IPv6 fe80::/10, IPv4 169.254.0.0/16.
  [[nodiscard]] bool is_link_local() const noexcept;
  friend auto operator<=>(const IpAddr&, const IpAddr&) = default;

 private:
  Family family_ = Family::V4;
  std::array<std::uint8_t, 16> bytes_{};
};

enum class Proto : std::uint8_t { Icmp = 1, Tcp = 6, Udp = 17, Icmp6 = 58, Sctp = 132 };
/// "tcp", "udp", "sctp", "icmp", "icmp6".
[[nodiscard]] std::string_view proto_name(Proto proto);

/// What a service listens on: VIP, protocol, and a port, a port range, or any port.
/// Text form: 192.0.2.10:80/tcp, [2001:db8::1]:443/tcp, 192.0.2.10:8000-8100/udp,
/// 192.0.2.10:any/sctp.
struct ServiceAddr {
  IpAddr vip;
  Proto proto = Proto::Tcp;
  /// Host order, inclusive. Any port is 1..65535.
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 0;
  [[nodiscard]] static Result<ServiceAddr> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_any_port() const { return port_first == 1 && port_last == 65535; }
  [[nodiscard]] bool is_range() const { return port_first != port_last; }
  friend auto operator<=>(const ServiceAddr&, const ServiceAddr&) = default;
};

}  // namespace lb
