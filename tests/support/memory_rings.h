// SPDX-License-Identifier: Apache-2.0
// MemoryRings: the ends of a Worker at the speed of memory, one port whose wire is a template
// packet. For benchmarks and for counting allocations; faults are FakeKernel's business. One
// thread; allocates in the constructor only.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "dataplane/worker.h"
#include "tests/support/packet_builder.h"

namespace lb::test {

/// One port whose wire is a template packet: the client address counts through `flows` flows in
/// random order.
class MemoryRings {
 public:
  static constexpr std::uint32_t kFrameBytes = 2048;
  static constexpr std::uint32_t kFrames = 2048;
  static constexpr std::uint32_t kRing = 512;
  static constexpr std::uint32_t kHeadroom = 256;
  static constexpr std::uint32_t kClientOffset = 26;   ///< of an IPv4 source in an untagged frame
  static constexpr std::uint32_t kClientOffset6 = 34;  ///< of the last word of an IPv6 source
  MemoryRings(Bytes packet, std::uint32_t client_offset, std::uint32_t flows)
      : packet_(std::move(packet)),
        client_offset_(client_offset),
        memory_(std::size_t{kFrames} * kFrameBytes),
        order_(1U << 20) {
    std::mt19937 random(1);
    for (auto& client : order_) client = 10 | (random() % flows) << 8;  // 10.x.y.z
  }
  [[nodiscard]] std::uint8_t* memory() noexcept { return memory_.data(); }

  [[nodiscard]] static std::uint32_t ports() noexcept { return 1; }
  template <class F>
  std::uint32_t complete(std::uint32_t, F&& take) noexcept {
    std::uint32_t n = sent_;
    for (std::uint32_t i = 0; i < n; ++i) take(tx_[i]);
    sent_ = 0;
    return n;
  }
  [[nodiscard]] std::uint32_t fill_room(std::uint32_t) const noexcept {
    return kRing - (fill_head_ - fill_tail_);
  }
  [[nodiscard]] static std::uint32_t fill_size(std::uint32_t) noexcept { return kRing; }
  [[nodiscard]] static std::uint32_t tx_size(std::uint32_t) noexcept { return kRing; }
  template <class F>
  void fill(std::uint32_t, std::uint32_t n, F&& next) noexcept {
    for (; n > 0; --n) fill_[fill_head_++ % kRing] = next();
  }
  [[nodiscard]] static bool fill_wakes(std::uint32_t) noexcept { return false; }
  static void wake_fill(std::uint32_t) noexcept {}
  [[nodiscard]] std::uint32_t tx_room(std::uint32_t) const noexcept { return kRing - staged_; }
  template <class F>
  std::uint32_t receive(std::uint32_t, std::uint32_t n, F&& take) noexcept {
    for (std::uint32_t i = 0; i < n; ++i) {
      std::uint64_t address = fill_[fill_tail_++ % kRing] + kHeadroom;
      std::uint8_t* data = memory_.data() + address;
      std::memcpy(data, packet_.data(), packet_.size());
      std::uint32_t client = order_[next_++ % order_.size()];
      std::memcpy(data + client_offset_, &client, sizeof client);
      take(address, static_cast<std::uint32_t>(packet_.size()));
    }
    return n;
  }
  void put_tx(std::uint32_t, std::uint64_t address, std::uint32_t) noexcept {
    tx_[staged_++] = address;
  }
  static void submit_tx(std::uint32_t) noexcept {}
  [[nodiscard]] std::uint32_t tx_pending(std::uint32_t) const noexcept { return staged_; }
  [[nodiscard]] static bool tx_wakes(std::uint32_t) noexcept { return true; }
  Kick kick(std::uint32_t) noexcept {
    sent_ = staged_;
    staged_ = 0;
    return Kick::Done;
  }

 private:
  Bytes packet_;
  std::uint32_t client_offset_;
  std::vector<std::uint8_t> memory_;
  std::vector<std::uint32_t> order_;
  std::array<std::uint64_t, kRing> fill_{};
  std::array<std::uint64_t, kRing> tx_{};
  std::uint32_t fill_head_ = 0, fill_tail_ = 0, staged_ = 0, sent_ = 0;
  std::size_t next_ = 0;
};

}  // namespace lb::test
