// SPDX-License-Identifier: Apache-2.0
// Internet checksums (RFC 1071) and their incremental update (RFC 1624). All values are raw, as
// they lie in the packet: the sum does not mind the byte order as long as all words have the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lb {

/// A sum of words as one word, end-around carries added.
[[nodiscard]] constexpr std::uint16_t checksum_fold(std::uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

/// The checksum after one 16-bit word of what it covers changes (RFC 1624, equation 3).
[[nodiscard]] constexpr std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t from,
                                                      std::uint16_t to) noexcept {
  std::uint32_t sum = static_cast<std::uint16_t>(~checksum);
  sum += static_cast<std::uint16_t>(~from);
  sum += to;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// Sum of the 16-bit words of `bytes` bytes, an odd last byte padded with zero; not folded.
[[nodiscard]] inline std::uint64_t checksum_sum(const std::uint8_t* data,
                                                std::size_t bytes) noexcept {
  std::uint64_t sum = 0;
  for (; bytes >= 2; data += 2, bytes -= 2) {
    std::uint16_t word = 0;
    std::memcpy(&word, data, 2);
    sum += word;
  }
  return bytes != 0 ? sum + *data : sum;
}

/// The checksum of `bytes` bytes, whose own checksum field is zero, over an `initial` sum (the
/// pseudo header's).
[[nodiscard]] inline std::uint16_t checksum_of(const std::uint8_t* data, std::size_t bytes,
                                               std::uint64_t initial = 0) noexcept {
  return static_cast<std::uint16_t>(~checksum_fold(initial + checksum_sum(data, bytes)));
}

}  // namespace lb
