// SPDX-License-Identifier: Apache-2.0
// Frame: bytes in a buffer of their own with headroom and tailroom, as a UMEM chunk has them, and
// guard bytes around, so that a write outside of what a Packet may touch shows. For tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "dataplane/packet/packet.h"
#include "tests/support/packet_builder.h"

namespace lb::test {

class Frame {
 public:
  static constexpr std::size_t kGuard = 32;
  static constexpr std::uint8_t kGuardByte = 0xa5;

  explicit Frame(const Bytes& bytes, std::uint16_t headroom = 256, std::uint16_t tailroom = 64)
      : size_(kGuard + headroom + bytes.size() + tailroom + kGuard),
        memory_(std::make_unique<std::uint8_t[]>(size_)) {
    std::fill_n(memory_.get(), size_, kGuardByte);
    packet_.data = memory_.get() + kGuard + headroom;
    packet_.bytes = static_cast<std::uint32_t>(bytes.size());
    packet_.headroom = headroom;
    packet_.tailroom = tailroom;
    packet_.frame = reinterpret_cast<std::uintptr_t>(memory_.get());
    std::ranges::copy(bytes, packet_.data);
  }

  /// To be handed to the path; `frame` is unique among living Frames.
  [[nodiscard]] Packet& packet() { return packet_; }
  /// Whether the guards are whole.
  [[nodiscard]] bool intact() const {
    auto whole = [this](std::size_t at) {
      return std::all_of(memory_.get() + at, memory_.get() + at + kGuard,
                         [](std::uint8_t byte) { return byte == kGuardByte; });
    };
    return whole(0) && whole(size_ - kGuard);
  }
  /// Whether `packet` lies between the guards with the rooms that it claims.
  [[nodiscard]] bool holds(const Packet& packet) const {
    const std::uint8_t* first = memory_.get() + kGuard;
    const std::uint8_t* last = memory_.get() + size_ - kGuard;
    return packet.data - packet.headroom == first &&
           packet.data + packet.bytes + packet.tailroom == last;
  }

 private:
  std::size_t size_;
  std::unique_ptr<std::uint8_t[]> memory_;
  Packet packet_;
};

[[nodiscard]] inline Bytes bytes_of(const Packet& packet) {
  return {packet.data, packet.data + packet.bytes};
}

}  // namespace lb::test
