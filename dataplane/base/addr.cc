// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/addr.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace lb {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

std::unexpected<Error> bad_service(std::string_view text, std::string_view why) {
  return fail(EINVAL, fmt::format("\"{}\" is not a service address: {} (write 192.0.2.10:80/tcp, "
                                  "[2001:db8::1]:443/tcp, 192.0.2.10:8000-8100/udp or "
                                  "192.0.2.10:any/tcp)",
                                  text, why));
}

}  // namespace

Result<MacAddr> MacAddr::parse(std::string_view text) {
  MacAddr mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; ++i) {
    const char* at = text.data() + 3 * i;
    auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    good = error == std::errc{} && end == at + 2 && (i == 5 || at[2] == ':');
  }
  if (!good) {
    return fail(EINVAL, fmt::format("\"{}\" is not a MAC address (write 02:00:00:00:00:01)", text));
  }
  return mac;
}

std::string MacAddr::to_string() const { return fmt::format("{:02x}", fmt::join(bytes, ":")); }

Result<IpAddr> IpAddr::parse(std::string_view text) {
  std::string copy(text);
  std::array<std::uint8_t, 16> bytes{};
  if (copy.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1) return v4(Be32::load(bytes.data()));
    if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return v6(bytes.data());
  }
  return fail(EINVAL, fmt::format("\"{}\" is not an IPv4 or IPv6 address", text));
}

std::string IpAddr::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

bool IpAddr::is_unspecified() const noexcept {
  return std::ranges::all_of(bytes_, [](std::uint8_t byte) { return byte == 0; });
}
bool IpAddr::is_multicast() const noexcept {
  return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}
bool IpAddr::is_loopback() const noexcept {
  if (is_v4()) return bytes_[0] == 127;
  return bytes_[15] == 1 &&
         std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto b) { return b == 0; });
}
bool IpAddr::is_broadcast() const noexcept { return is_v4() && as_v4().raw() == 0xffffffffU; }
bool IpAddr::is_link_local() const noexcept {
  return is_v4() ? bytes_[0] == 169 && bytes_[1] == 254
                 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

std::string_view proto_name(Proto proto) {
  switch (proto) {
    case Proto::Icmp:
      return "icmp";
    case Proto::Tcp:
      return "tcp";
    case Proto::Udp:
      return "udp";
    case Proto::Icmp6:
      return "icmp6";
    case Proto::Sctp:
      return "sctp";
  }
  return "unknown";
}

Result<ServiceAddr> ServiceAddr::parse(std::string_view text) {
  ServiceAddr service;
  auto slash = text.rfind('/');
  if (slash == std::string_view::npos) return bad_service(text, "the protocol is missing");
  auto proto = text.substr(slash + 1);
  if (proto == "tcp") {
    service.proto = Proto::Tcp;
  } else if (proto == "udp") {
    service.proto = Proto::Udp;
  } else if (proto == "sctp") {
    service.proto = Proto::Sctp;
  } else {
    return bad_service(text, fmt::format("\"{}\" is not tcp, udp or sctp", proto));
  }
  auto colon = text.substr(0, slash).rfind(':');
  if (colon == std::string_view::npos) return bad_service(text, "the port is missing");
  auto host = text.substr(0, colon);
  auto port = text.substr(colon + 1, slash - colon - 1);
  bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  auto vip = IpAddr::parse(host);
  if (!vip) return bad_service(text, vip.error().message);
  if (vip->is_v4() == bracketed) {
    return bad_service(text, bracketed ? "an IPv4 address takes no brackets"
                                       : "an IPv6 address stands in brackets");
  }
  service.vip = *vip;
  if (port == "any") {
    service.port_first = 1;
    service.port_last = 65535;
    return service;
  }
  auto dash = port.find('-');
  auto first = parse_port(port.substr(0, dash));
  auto last = dash == std::string_view::npos ? first : parse_port(port.substr(dash + 1));
  if (!first || !last) return bad_service(text, fmt::format("\"{}\" is not a port 1-65535", port));
  if (*first > *last) return bad_service(text, "the range runs backwards");
  service.port_first = *first;
  service.port_last = *last;
  return service;
}

std::string ServiceAddr::to_string() const {
  auto host = vip.is_v4() ? vip.to_string() : "[" + vip.to_string() + "]";
  auto port = is_any_port() ? std::string("any")
              : is_range()  ? fmt::format("{}-{}", port_first, port_last)
                            : fmt::format("{}", port_first);
  return fmt::format("{}:{}/{}", host, port, proto_name(proto));
}

}  // namespace lb
