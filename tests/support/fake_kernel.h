// SPDX-License-Identifier: Apache-2.0
// FakeKernel: the in-process end of a Worker: the four rings of each port, and a kernel between
// them that can be told to misbehave: EAGAIN storms, EBUSY, ENOBUFS, lost and repeated completions,
// invented descriptors, starved FILL rings, links that go down, devices that vanish. One thread; no
// system calls.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/worker.h"

namespace lb::test {

/// Chances in 1000, of each kick, completion or descriptor.
struct Faults {
  std::uint32_t again = 0;       ///< a kick takes a few frames, or none, and says EAGAIN
  std::uint32_t busy = 0;        ///< a kick takes nothing: EBUSY
  std::uint32_t no_buffers = 0;  ///< a kick takes nothing: ENOBUFS
  std::uint32_t completion_lost = 0;
  std::uint32_t completion_repeated = 0;
  std::uint32_t completion_invented = 0;  ///< any address, also outside of the UMEM
  std::uint32_t rx_invented = 0;          ///< a received descriptor that names any frame
  std::uint32_t fill_withheld = 0;        ///< a packet finds FILL "empty"
};

struct FakeRings {
  std::uint32_t rx = 64, tx = 64, fill = 64, completion = 64;
};

class FakeKernel {
 public:
  static constexpr std::uint32_t kHeadroom = 256;
  static constexpr std::uint32_t kSentAtOnce = 32;

  FakeKernel(std::uint32_t ports, std::uint32_t frames, std::uint32_t frame_bytes,
             const FakeRings& rings = {}, std::uint64_t seed = 1)
      : rings_(rings),
        frame_bytes_(frame_bytes),
        memory_(std::size_t{frames} * frame_bytes),
        ports_(ports),
        random_(seed) {}

  Faults faults;
  /// Called for each frame that leaves: port, address, bytes.
  std::function<void(std::uint32_t, std::uint64_t, std::uint32_t)> on_sent;
  std::uint64_t kicks = 0;
  std::uint64_t lost = 0, repeated = 0, invented = 0, starved = 0, overruns = 0, received = 0;

  [[nodiscard]] std::uint8_t* memory() noexcept { return memory_.data(); }
  void set_link(std::uint32_t port, LinkState state) { ports_[port].link = state; }
  /// The kernel sends nothing by this port until it is told otherwise, but does not say why.
  void set_stuck(std::uint32_t port, bool stuck) { set_slow(port, stuck ? 0 : kSentAtOnce); }
  /// The kernel sends no more than `frames` a kick by this port, and says ENOBUFS after fewer than
  /// kSentAtOnce.
  void set_slow(std::uint32_t port, std::uint32_t frames) { ports_[port].a_kick = frames; }

  /// Where frames begin in their chunks.
  std::uint32_t headroom = kHeadroom;

  /// A packet comes in, with metadata right before it or without. False when there is no frame for
  /// it or no room in RX. REQUIRES: the metadata fits into the headroom.
  bool arrive(std::uint32_t port, const void* data, std::uint32_t bytes,
              std::span<const std::byte> meta = {}) {
    Port& p = ports_[port];
    if (p.link != LinkState::Up) return false;
    if (p.fill.empty() || hit(faults.fill_withheld)) {
      ++starved;
      return false;
    }
    if (p.rx.size() >= rings_.rx) {
      ++overruns;
      return false;
    }
    if (hit(faults.rx_invented)) {
      ++invented;
      p.rx.push_back({any_address(), bytes});
      return true;
    }
    std::uint64_t address = (p.fill.front() & ~std::uint64_t{frame_bytes_ - 1}) + headroom;
    p.fill.pop_front();
    std::memcpy(memory_.data() + address, data, bytes);
    if (!meta.empty()) {
      std::memcpy(memory_.data() + address - meta.size(), meta.data(), meta.size());
    }
    p.rx.push_back({address, bytes});
    ++received;
    return true;
  }
  /// Up to `n` frames that were sent turn up in COMPLETION.
  void finish(std::uint32_t port, std::uint32_t n) {
    Port& p = ports_[port];
    while (n-- > 0 && !p.in_flight.empty() && p.completion.size() + 2 <= rings_.completion) {
      std::uint64_t address = p.in_flight.front();
      p.in_flight.pop_front();
      if (hit(faults.completion_lost)) {
        ++lost;
        continue;
      }
      p.completion.push_back(address);
      if (hit(faults.completion_repeated)) {
        ++repeated;
        p.completion.push_back(address);
      }
      if (p.completion.size() < rings_.completion && hit(faults.completion_invented)) {
        ++invented;
        p.completion.push_back(any_address());
      }
    }
  }
  [[nodiscard]] std::size_t tx_queued(std::uint32_t port) const { return ports_[port].tx.size(); }
  [[nodiscard]] std::size_t fill_level(std::uint32_t port) const {
    return ports_[port].fill.size();
  }
  [[nodiscard]] std::size_t in_flight(std::uint32_t port) const {
    return ports_[port].in_flight.size();
  }

  // What Worker asks for:
  [[nodiscard]] std::uint32_t ports() const noexcept {
    return static_cast<std::uint32_t>(ports_.size());
  }
  template <class F>
  std::uint32_t complete(std::uint32_t port, F&& take) noexcept {
    Port& p = ports_[port];
    auto n = static_cast<std::uint32_t>(p.completion.size());
    for (std::uint64_t address : p.completion) take(address);
    p.completion.clear();
    return n;
  }
  [[nodiscard]] std::uint32_t fill_room(std::uint32_t port) const noexcept {
    return rings_.fill - static_cast<std::uint32_t>(ports_[port].fill.size());
  }
  [[nodiscard]] std::uint32_t fill_size(std::uint32_t) const noexcept { return rings_.fill; }
  [[nodiscard]] std::uint32_t tx_size(std::uint32_t) const noexcept { return rings_.tx; }
  template <class F>
  void fill(std::uint32_t port, std::uint32_t n, F&& next) noexcept {
    LB_ASSERT(n <= fill_room(port));
    while (n-- > 0) ports_[port].fill.push_back(next());
  }
  [[nodiscard]] bool fill_wakes(std::uint32_t) const noexcept { return false; }
  void wake_fill(std::uint32_t) noexcept {}
  [[nodiscard]] std::uint32_t tx_room(std::uint32_t port) const noexcept {
    return rings_.tx - static_cast<std::uint32_t>(ports_[port].tx.size());
  }
  template <class F>
  std::uint32_t receive(std::uint32_t port, std::uint32_t n, F&& take) noexcept {
    Port& p = ports_[port];
    std::uint32_t taken = 0;
    for (; taken < n && !p.rx.empty(); ++taken) {
      take(p.rx.front().address, p.rx.front().bytes);
      p.rx.pop_front();
    }
    return taken;
  }
  void put_tx(std::uint32_t port, std::uint64_t address, std::uint32_t bytes) noexcept {
    LB_ASSERT(tx_room(port) > 0);
    ports_[port].tx.push_back({address, bytes});
  }
  void submit_tx(std::uint32_t port) noexcept { ports_[port].submitted = ports_[port].tx.size(); }
  [[nodiscard]] std::uint32_t tx_pending(std::uint32_t port) const noexcept {
    return static_cast<std::uint32_t>(ports_[port].tx.size());
  }
  [[nodiscard]] bool tx_wakes(std::uint32_t) const noexcept { return true; }
  Kick kick(std::uint32_t port) noexcept {
    ++kicks;
    Port& p = ports_[port];
    if (p.link == LinkState::Gone) return Kick::Gone;
    if (p.link == LinkState::Down) return Kick::Down;
    if (p.a_kick < kSentAtOnce) {
      send_some(port, p.a_kick);
      return Kick::NoBuffers;
    }
    if (hit(faults.busy)) return Kick::Busy;
    if (hit(faults.no_buffers)) return Kick::NoBuffers;
    bool storm = hit(faults.again);
    send_some(port, storm ? pick(4) : kSentAtOnce);
    return storm || p.submitted > 0 ? Kick::Again : Kick::Done;
  }

 private:
  struct Desc {
    std::uint64_t address;
    std::uint32_t bytes;
  };
  struct Port {
    std::deque<std::uint64_t> fill, completion, in_flight;
    std::deque<Desc> rx, tx;
    std::size_t submitted = 0;
    LinkState link = LinkState::Up;
    std::uint32_t a_kick = kSentAtOnce;
  };
  void send_some(std::uint32_t port, std::uint32_t budget) {
    const Port& p = ports_[port];
    while (budget-- > 0 && p.submitted > 0 && p.in_flight.size() < rings_.completion)
      send_one(port);
  }
  void send_one(std::uint32_t port) {
    Port& p = ports_[port];
    Desc desc = p.tx.front();
    p.tx.pop_front();
    --p.submitted;
    p.in_flight.push_back(desc.address);
    if (on_sent) on_sent(port, desc.address, desc.bytes);
  }
  [[nodiscard]] bool hit(std::uint32_t chance) { return chance != 0 && pick(1000) < chance; }
  [[nodiscard]] std::uint32_t pick(std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
  }
  [[nodiscard]] std::uint64_t any_address() {
    return std::uniform_int_distribution<std::uint64_t>(0, 2 * memory_.size())(random_);
  }

  FakeRings rings_;
  std::uint32_t frame_bytes_;
  std::vector<std::uint8_t> memory_;
  std::vector<Port> ports_;
  std::mt19937_64 random_;
};

}  // namespace lb::test
