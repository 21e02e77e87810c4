// SPDX-License-Identifier: Apache-2.0
// FlowData and FlowEntry<Key>: one stored flow as words under a sequence lock: key, ids, stamp. One
// thread writes, any thread copies, the XDP program too: laid out as lb_flow4 and lb_flow6 of
// bpf/lb_abi.h. The stamp holds last_seen, state and the sequence, so that the common update (same
// real server, later tick) is one store that no reader can see half of.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "bpf/lb_abi.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/ids.h"
#include "dataplane/packet/flow_key.h"
#include "dataplane/table/tcp_state.h"

namespace lb {

/// What the table remembers of a flow, beside its key.
struct FlowData {
  RsId rs = RsId::None;
  ServiceId service = ServiceId::None;
  TickMs last_seen = 0;
  FlowState state = FlowState::None;
  friend bool operator==(const FlowData&, const FlowData&) = default;
};

/// Words that one thread writes and others read, without fences (which TSan does not know): every
/// data word is stored with release and loaded with acquire, which orders it against the stamp.
template <class Word>
[[nodiscard]] inline Word load_acquire(const Word& word) noexcept {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}
template <class Word>
inline void store_release(Word& word, std::type_identity_t<Word> value) noexcept {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

template <class Key>
class alignas(std::bit_ceil(sizeof(Key) + 16)) FlowEntry {
 public:
  static constexpr unsigned kKeyWords = sizeof(Key) / 8;
  using KeyWords = std::array<std::uint64_t, kKeyWords>;
  static_assert(sizeof(KeyWords) == sizeof(Key));

  [[nodiscard]] static KeyWords words_of(const Key& key) noexcept {
    return std::bit_cast<KeyWords>(key);
  }

  // Owner thread only:
  [[nodiscard]] bool holds(const KeyWords& key) const noexcept {
    std::uint64_t difference = 0;
    for (unsigned i = 0; i < kKeyWords; ++i) difference |= words_[i] ^ key[i];
    return difference == 0;
  }
  [[nodiscard]] Key key() const noexcept {
    KeyWords key;
    for (unsigned i = 0; i < kKeyWords; ++i) key[i] = words_[i];
    return std::bit_cast<Key>(key);
  }
  /// As the owner wrote it: what the kernel saw since is FlowTable::data()'s to add.
  [[nodiscard]] FlowData data() const noexcept { return unpack(words_[kIds], words_[kStamp]); }
  void write(const KeyWords& key, const FlowData& data) noexcept {
    const std::uint64_t sequence = begin_write();
    for (unsigned i = 0; i < kKeyWords; ++i) store_release(words_[i], key[i]);
    store_release(words_[kIds], ids_of(data));
    store_release(words_[kStamp], stamp_of(data) | (sequence + 2) << kSequenceShift);
  }
  void update(const FlowData& data) noexcept {
    const std::uint64_t ids = ids_of(data);
    if (ids == words_[kIds]) [[likely]] {
      constexpr std::uint64_t kSequenceMask = ~std::uint64_t{0} << kSequenceShift;
      store_release(words_[kStamp], stamp_of(data) | (words_[kStamp] & kSequenceMask));
      return;
    }
    const std::uint64_t sequence = begin_write();
    store_release(words_[kIds], ids);
    store_release(words_[kStamp], stamp_of(data) | (sequence + 2) << kSequenceShift);
  }
  /// Whether a writer died half way.
  [[nodiscard]] bool is_torn() const noexcept { return is_odd(words_[kStamp]); }
  /// Makes a torn entry one of no flow. REQUIRES: is_torn().
  void mend() noexcept {
    const std::uint64_t sequence = words_[kStamp] >> kSequenceShift;
    for (unsigned i = 0; i <= kIds; ++i) store_release(words_[i], 0);
    store_release(words_[kStamp], (sequence + 1) << kSequenceShift);
  }

  // Any thread:
  /// Copies the entry whole. False when a writer was in the way on each of a bounded number of
  /// tries.
  [[nodiscard]] bool copy(KeyWords& key, FlowData& data) const noexcept {
    for (int tries = 0; tries < kCopyTries; ++tries) {
      const std::uint64_t before = load_acquire(words_[kStamp]);
      for (unsigned i = 0; i < kKeyWords; ++i) key[i] = load_acquire(words_[i]);
      const std::uint64_t ids = load_acquire(words_[kIds]);
      const std::uint64_t after = load_acquire(words_[kStamp]);
      if (!is_odd(before) && (before ^ after) >> kSequenceShift == 0) {
        data = unpack(ids, before);
        return true;
      }
    }
    return false;
  }

 private:
  static constexpr int kCopyTries = 64;
  static constexpr unsigned kIds = kKeyWords;
  static constexpr unsigned kStamp = kKeyWords + 1;
  static constexpr unsigned kStateShift = LB_STAMP_STATE_SHIFT;
  static constexpr unsigned kSequenceShift = LB_STAMP_SEQUENCE_SHIFT;
  static_assert(kStateShift == 8 * sizeof(TickMs) && kSequenceShift == kStateShift + 8);

  using Abi = std::conditional_t<std::is_same_v<Key, FlowKey4>, lb_flow4, lb_flow6>;
  static_assert(std::bit_ceil(sizeof(Key) + 16) == sizeof(Abi) && offsetof(Abi, key) == 0 &&
                sizeof(Abi::key) == sizeof(Key) && offsetof(Abi, ids) == 8 * kIds &&
                offsetof(Abi, stamp) == 8 * kStamp);

  [[nodiscard]] static bool is_odd(std::uint64_t stamp) noexcept {
    return ((stamp >> kSequenceShift) & 1) != 0;
  }
  [[nodiscard]] static std::uint64_t ids_of(const FlowData& data) noexcept {
    return raw(data.rs) | static_cast<std::uint64_t>(raw(data.service)) << 32;
  }
  [[nodiscard]] static std::uint64_t stamp_of(const FlowData& data) noexcept {
    return data.last_seen | static_cast<std::uint64_t>(data.state) << kStateShift;
  }
  [[nodiscard]] static FlowData unpack(std::uint64_t ids, std::uint64_t stamp) noexcept {
    return {.rs = static_cast<RsId>(static_cast<std::uint32_t>(ids)),
            .service = static_cast<ServiceId>(static_cast<std::uint32_t>(ids >> 32)),
            .last_seen = static_cast<TickMs>(stamp),
            .state = static_cast<FlowState>(static_cast<std::uint8_t>(stamp >> kStateShift))};
  }
  /// Makes the sequence odd; returns the even one that was there.
  std::uint64_t begin_write() noexcept {
    const std::uint64_t stamp = words_[kStamp];
    __atomic_store_n(&words_[kStamp], stamp | std::uint64_t{1} << kSequenceShift, __ATOMIC_RELAXED);
    return stamp >> kSequenceShift;
  }

  std::uint64_t words_[sizeof(KeyWords) / 8 + 2];
};

using FlowEntry4 = FlowEntry<FlowKey4>;
using FlowEntry6 = FlowEntry<FlowKey6>;
static_assert(sizeof(FlowEntry4) == 32 && alignof(FlowEntry4) == 32, "two to a cache line");
static_assert(sizeof(FlowEntry6) == 64 && alignof(FlowEntry6) == 64, "one to a cache line");
static_assert(raw(FlowState::Established) == LB_FLOW_ESTABLISHED);
static_assert(raw(FlowState::Udp) == LB_FLOW_UDP && raw(FlowState::Sctp) == LB_FLOW_SCTP);

}  // namespace lb
