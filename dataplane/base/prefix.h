// SPDX-License-Identifier: Apache-2.0
// IpPrefix: a network of either family, such as 203.0.113.0/24. A plain value, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/addr.h"
#include "dataplane/base/result.h"

namespace lb {

struct IpPrefix {
  IpAddr address;  ///< zero behind the first `bits`
  std::uint8_t bits = 0;

  /// "203.0.113.0/24", "2001:db8::/32", or an address alone (all its bits). Errors: EINVAL; bits
  /// that are set behind the length are one, with the network and the host that may be meant.
  [[nodiscard]] static Result<IpPrefix> parse(std::string_view text);
  /// The network of `address` with that many bits. REQUIRES: bits fit the family.
  [[nodiscard]] static IpPrefix of(const IpAddr& address, unsigned bits) noexcept;
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] unsigned bits_max() const noexcept { return address.is_v4() ? 32 : 128; }
  [[nodiscard]] bool contains(const IpAddr& other) const noexcept {
    return other.family() == address.family() && of(other, bits).address == address;
  }
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

}  // namespace lb
