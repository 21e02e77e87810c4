// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/prefix.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>

#include "dataplane/base/text.h"

namespace lb {
namespace {

std::unexpected<Error> bad_prefix(std::string_view text) {
  return fail(EINVAL, fmt::format("{} is not a prefix (write 203.0.113.0/24, 2001:db8::/32, or an "
                                  "address alone)",
                                  quoted(text)));
}

}  // namespace

IpPrefix IpPrefix::of(const IpAddr& address, unsigned bits) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), address.data(), address.size());
  for (unsigned i = 0; i < address.size(); ++i) {
    const unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
    if (kept < 8) bytes[i] &= static_cast<std::uint8_t>(0xff00U >> kept);
  }
  return {
      .address = address.is_v4() ? IpAddr::v4(Be32::load(bytes.data())) : IpAddr::v6(bytes.data()),
      .bits = static_cast<std::uint8_t>(bits)};
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  auto address = IpAddr::parse(text.substr(0, slash));
  if (!address) return bad_prefix(text);
  const unsigned most = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return of(*address, most);
  unsigned bits = 0;
  const std::string_view length = text.substr(slash + 1);
  auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  if (error != std::errc{} || end != length.data() + length.size() || bits > most) {
    return bad_prefix(text);
  }
  const IpPrefix prefix = of(*address, bits);
  if (prefix.address != *address) {
    return fail(
        EINVAL,
        fmt::format("{} has bits set behind the first {}: write {} for the network, "
                    "or {} for the host",
                    quoted(text), bits, prefix.to_string(), of(*address, most).to_string()));
  }
  return prefix;
}

std::string IpPrefix::to_string() const { return fmt::format("{}/{}", address.to_string(), bits); }

}  // namespace lb
