// SPDX-License-Identifier: Apache-2.0
// Be16, Be32: integers in network order, as types, so that the order is never a matter of memory.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>

namespace lb {

static_assert(std::endian::native == std::endian::little, "Sluice runs on little-endian machines");

/// An integer kept in network order. raw() is the bytes as they lie in the packet.
template <class T>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  [[nodiscard]] static constexpr BigEndian from_host(T host) noexcept {
    BigEndian value;
    value.raw_ = std::byteswap(host);
    return value;
  }
  [[nodiscard]] static constexpr BigEndian from_raw(T raw) noexcept {
    BigEndian value;
    value.raw_ = raw;
    return value;
  }
  /// Reads sizeof(T) bytes at any alignment. REQUIRES: that many bytes are there.
  [[nodiscard]] static BigEndian load(const void* bytes) noexcept {
    BigEndian value;
    std::memcpy(&value.raw_, bytes, sizeof(T));
    return value;
  }
  void store(void* bytes) const noexcept { std::memcpy(bytes, &raw_, sizeof(T)); }
  [[nodiscard]] constexpr T host() const noexcept { return std::byteswap(raw_); }
  [[nodiscard]] constexpr T raw() const noexcept { return raw_; }
  friend constexpr bool operator==(BigEndian, BigEndian) = default;
  friend constexpr auto operator<=>(BigEndian a, BigEndian b) { return a.host() <=> b.host(); }

 private:
  T raw_ = 0;
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
static_assert(sizeof(Be16) == 2 && sizeof(Be32) == 4);

}  // namespace lb
