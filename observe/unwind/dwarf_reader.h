// SPDX-License-Identifier: Apache-2.0
// DwarfReader: a cursor over untrusted bytes with the number formats of DWARF and .eh_frame. A read
// past the end gives 0 and makes the reader not ok() for good, so that a caller may read several
// fields and ask once. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace lb::observe {

class DwarfReader {
 public:
  /// `address`: where the first byte is in the program, for pc-relative pointers. The bytes are
  /// little-endian and outlive the reader.
  DwarfReader(std::span<const std::byte> bytes, std::uint64_t address)
      : bytes_(bytes), address_(address) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return position_ >= bytes_.size(); }
  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }

  template <class T>
  T number() {
    T value{};
    if (sizeof(T) > left()) {
      fail();
      return value;
    }
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  std::uint8_t byte() { return number<std::uint8_t>(); }

  /// Bits beyond the 64th are dropped.
  std::uint64_t uleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t part = byte();
      if (shift < 64) value |= static_cast<std::uint64_t>(part & 0x7f) << shift;
      if ((part & 0x80) == 0) return value;
    }
  }
  std::int64_t sleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t part = byte();
      if (shift < 64) value |= static_cast<std::uint64_t>(part & 0x7f) << shift;
      if ((part & 0x80) != 0) continue;
      if ((part & 0x40) != 0 && shift + 7 < 64) value |= ~std::uint64_t{0} << (shift + 7);
      return static_cast<std::int64_t>(value);
    }
  }

  /// A pointer in one of the DW_EH_PE_ encodings (LSB, "DWARF Extensions"), absolute or relative to
  /// where it stands. Nothing for the others, and past the end.
  std::optional<std::uint64_t> pointer(std::uint8_t encoding) {
    const std::uint64_t here = address_ + position_;
    const auto value = plain_pointer(encoding & 0x0f);
    if (!value || !ok_) return std::nullopt;
    switch (encoding & 0xf0) {
      case 0x00:
        return value;  // DW_EH_PE_absptr
      case 0x10:
        return here + *value;  // DW_EH_PE_pcrel
      default:
        return std::nullopt;
    }
  }
  /// The number alone, without what it is relative to. `format`: the low half of an encoding.
  std::optional<std::uint64_t> plain_pointer(unsigned format) {
    switch (format) {
      case 0x00:
      case 0x04:
      case 0x0c:
        return number<std::uint64_t>();
      case 0x01:
        return uleb();
      case 0x02:
        return number<std::uint16_t>();
      case 0x03:
        return number<std::uint32_t>();
      case 0x09:
        return static_cast<std::uint64_t>(sleb());
      case 0x0a:
        return extended(number<std::int16_t>());
      case 0x0b:
        return extended(number<std::int32_t>());
      default:
        return std::nullopt;
    }
  }

  /// The next `count` bytes; an empty span and not ok() when there are fewer.
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > left()) {
      fail();
      return {};
    }
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

 private:
  void fail() {
    ok_ = false;
    position_ = bytes_.size();
  }
  static std::uint64_t extended(std::int64_t value) { return static_cast<std::uint64_t>(value); }

  std::span<const std::byte> bytes_;
  std::uint64_t address_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace lb::observe
