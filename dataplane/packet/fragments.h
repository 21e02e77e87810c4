// SPDX-License-Identifier: Apache-2.0
// FragmentTable: where the first fragment of a datagram went, so that the later ones follow it.
// HeldFragments: the few that came before their first one. Both fixed memory, both of one worker;
// other workers may read the table (fragments hash to other queues than their flow).
// Invariants: a key stands in one slot of its bucket; a reader gets a whole entry or none.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/base/clock.h"
#include "dataplane/packet/packet.h"

namespace lb {

/// Names a datagram: both addresses, its id and, in IPv4, its protocol (RFC 791; RFC 8200
/// section 4.5 leaves the protocol out).
struct FragmentKey {
  std::uint64_t words[5] = {};
  friend bool operator==(const FragmentKey&, const FragmentKey&) = default;
};
/// REQUIRES: `parsed` is a fragment.
[[nodiscard]] FragmentKey fragment_key(const ParsedPacket& parsed) noexcept;

/// Where the first fragment went.
struct FragmentTarget {
  RsId rs = RsId::None;
  ServiceId service = ServiceId::None;
  friend bool operator==(const FragmentTarget&, const FragmentTarget&) = default;
};

class FragmentTable {
 public:
  /// Takes all memory: room for at least `datagrams`, in buckets of eight. An entry counts for
  /// `timeout_ms`, whatever becomes of the datagram. `secret` keeps others from filling a bucket.
  FragmentTable(std::uint32_t datagrams, std::uint32_t timeout_ms, const lb_hash_key& secret);

  /// Owner only. Notes or corrects where a datagram goes; a full bucket forgets its oldest.
  void put(const FragmentKey& key, const FragmentTarget& target, TickMs now) noexcept;
  /// Owner only, now and then: forgets what is too old in the next bucket. A full turn must take
  /// less than the 24 days that ms_since() can tell apart.
  void age(TickMs now) noexcept;
  /// Any thread. Nothing when the datagram is unknown or too old.
  [[nodiscard]] std::optional<FragmentTarget> read(const FragmentKey& key,
                                                   TickMs now) const noexcept;
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return buckets_ * sizeof(Bucket); }

 private:
  static constexpr std::uint32_t kSlots = 8;
  static constexpr int kReadTries = 4;
  // A sequence lock: odd while it is written. Release stores and acquire loads of every word keep
  // the order without fences (Boehm, MSPC 2012).
  struct alignas(64) Slot {
    std::atomic<std::uint32_t> sequence{0};
    std::atomic<std::uint32_t> since{0};
    std::atomic<std::uint64_t> target{0};  // rs | service << 32; 0: free
    std::array<std::atomic<std::uint64_t>, 5> key{};
  };
  static_assert(sizeof(Slot) == 64);
  struct Bucket {
    std::array<Slot, kSlots> slots;
  };
  [[nodiscard]] Bucket& bucket_of(const FragmentKey& key) const noexcept;
  [[nodiscard]] bool alive(const Slot& slot, TickMs now) const noexcept;

  lb_hash_key secret_;
  std::uint32_t timeout_ms_;
  std::uint32_t buckets_;  // a power of two
  std::uint32_t next_aged_ = 0;
  std::unique_ptr<Bucket[]> memory_;
};

/// A fragment that waits for its first one.
struct HeldFragment {
  Packet packet;
  ParsedPacket parsed;
  FragmentKey key;
  TickMs since = 0;
};

/// The buffer of early fragments, oldest first.
class HeldFragments {
 public:
  explicit HeldFragments(std::uint32_t capacity)
      : capacity_(capacity), held_(std::make_unique<HeldFragment[]>(capacity)) {}

  /// False: it is full.
  [[nodiscard]] bool push(const HeldFragment& fragment) noexcept {
    if (count_ == capacity_) return false;
    held_[count_++] = fragment;
    return true;
  }
  /// Hands each fragment for which `wanted(fragment)` says so to `take(fragment)`, in the order in
  /// which they came, and forgets it.
  template <class Wanted, class Take>
  void take_if(Wanted&& wanted, Take&& take) noexcept {
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (wanted(held_[i])) {
        take(held_[i]);
      } else {
        if (kept != i) held_[kept] = held_[i];
        ++kept;
      }
    }
    count_ = kept;
  }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return capacity_ * sizeof(HeldFragment);
  }

 private:
  std::uint32_t capacity_;
  std::uint32_t count_ = 0;
  std::unique_ptr<HeldFragment[]> held_;
};

}  // namespace lb
