// SPDX-License-Identifier: Apache-2.0
// FlowTable<Key>: which real server a flow belongs to. Fixed memory; two candidate buckets of eight
// slots a key, tags compared at once. One thread (its worker) writes; any thread may read() under a
// sequence lock. Invariants: a key stands in at most one slot, in one of its two buckets (two for
// an instant while it is moved, for readers only); the tag of an empty slot is 0; an entry lies in
// one cache line; a reader gets a whole entry or none. The second bucket follows from the first and
// the tag, so an entry moves without its key's hash.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
#include "dataplane/packet/flow_key.h"
#include "dataplane/table/flow_entry.h"
#include "dataplane/table/mapped_memory.h"
#include "dataplane/table/tag_group.h"

namespace lb {

/// g++ 12 takes a function that only prefetches for one without effect and drops every call to it;
/// an empty volatile asm keeps them.
inline void keep_prefetch() noexcept { asm volatile(""); }

enum class InsertOutcome : std::uint8_t {
  Inserted,      ///< into a free slot
  EvictedIdle,   ///< both buckets were full; the idlest expired flow of the sixteen was replaced
  EvictedAlive,  ///< both were full and none had expired: one was replaced within its timeout, the
                 ///< idlest of those that are not is_active() (half open, closing), else of all
};

inline constexpr std::uint32_t kFlowsMaxLimit = 1U << 28;

template <class Key>
class FlowTable {
 public:
  /// A stored flow; valid until the owner's next insert, erase or sweep.
  using Entry = FlowEntry<Key>;
  struct Inserted {
    Entry* entry;
    InsertOutcome outcome;
    FlowData evicted;  ///< what stood there before, when `replaced`
    bool replaced;     ///< outcome is one of the evictions
  };

  /// Takes all memory at once (huge pages where there are some, else normal ones). `flows_max` is
  /// reached at three quarters load; beyond it flows still find room, but living ones are evicted
  /// more and more often. Errors: ENOMEM, EINVAL for 0 or more than kFlowsMaxLimit.
  [[nodiscard]] static Result<FlowTable> create(std::uint32_t flows_max, bool want_huge = true);
  /// What create(flows_max) will take, without huge-page rounding.
  [[nodiscard]] static constexpr std::size_t memory_bytes_for(std::uint32_t flows_max) noexcept {
    return (sizeof(TagGroup) + kSlots * sizeof(Entry)) * std::size_t{buckets_for(flows_max)};
  }

  // Owner thread only:
  /// Asks for the tags of the first bucket. First of two stages over a batch; find() needs neither,
  /// they hide its misses.
  void prefetch(std::uint64_t hash) const noexcept {
    keep_prefetch();
    __builtin_prefetch(&tags_[first_bucket(hash)]);
  }
  /// Second stage, when the tags have come: asks for the entry that find() will compare, or for the
  /// tags of the second bucket.
  void prefetch_entry(std::uint64_t hash) const noexcept;
  /// Finds a flow, expired or not; the caller judges by last_seen, state and its service's
  /// timeouts.
  [[nodiscard]] Entry* find(const Key& key, std::uint64_t hash) noexcept;
  /// REQUIRES: find() said null for this key; data.last_seen is now. `expired(const FlowData&)`
  /// tells whether a flow is past its timeout; called for at most sixteen flows, and only when both
  /// buckets are full.
  template <class Expired>
  Inserted insert(const Key& key, std::uint64_t hash, const FlowData& data,
                  Expired&& expired) noexcept;
  void update(Entry& entry, const FlowData& data) noexcept { entry.update(data); }
  void erase(Entry& entry) noexcept;
  [[nodiscard]] static FlowData data(const Entry& entry) noexcept { return entry.data(); }
  [[nodiscard]] static Key key(const Entry& entry) noexcept { return entry.key(); }
  /// Looks at the next `buckets` buckets (no more than there are); calls `visit(key, data)` for
  /// each flow in them, which answers whether to erase it. The incremental ageing of the worker.
  template <class Visit>
  void sweep(std::uint32_t buckets, Visit&& visit) noexcept;

  // Any thread:
  /// A consistent copy of a flow, or nothing; bounded retries, then nothing.
  [[nodiscard]] std::optional<FlowData> read(const Key& key, std::uint64_t hash) const noexcept;
  /// Consistent copies of all flows in buckets [first, first + count), to `visit(key, data)`. A
  /// flow that is moved meanwhile may come twice or not at all.
  template <class Visit>
  void read_range(std::uint32_t first, std::uint32_t count, Visit&& visit) const;
  [[nodiscard]] std::uint32_t buckets() const noexcept { return buckets_; }
  [[nodiscard]] std::uint32_t size() const noexcept {
    return load_acquire(size_);
  }  ///< flows stored now
  [[nodiscard]] std::uint32_t flows_max() const noexcept { return flows_max_; }
  /// Flows that there are slots for; flows_max is three quarters of it.
  [[nodiscard]] std::uint32_t slots() const noexcept { return buckets_ * kSlots; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return memory_.bytes(); }

 private:
  static constexpr unsigned kSlots = TagGroup::kSlots;
  static constexpr int kMoveRetries = 8;
  static constexpr int kRoomToSpare = 3;
  struct Place {
    std::uint32_t first;
    std::uint32_t second;
    std::uint16_t tag;
  };
  struct Slot {
    std::uint32_t bucket;
    unsigned index;
  };

  FlowTable() = default;
  /// Six of a bucket's eight slots at flows_max; at least two buckets.
  [[nodiscard]] static constexpr std::uint32_t buckets_for(std::uint32_t flows_max) noexcept {
    const std::uint32_t buckets = (flows_max + 5) / 6;
    return buckets < 2 ? 2 : buckets;
  }
  [[nodiscard]] std::uint32_t first_bucket(std::uint64_t hash) const noexcept {
    return static_cast<std::uint32_t>(((hash >> 32) * buckets_) >> 32);
  }
  [[nodiscard]] static std::uint16_t tag_of(std::uint64_t hash) noexcept {
    const auto low = static_cast<std::uint16_t>(hash);
    return low == 0 ? 1 : low;
  }
  [[nodiscard]] Entry* find_in(std::uint32_t bucket, std::uint16_t tag,
                               const typename Entry::KeyWords& key) noexcept;
  [[nodiscard]] Place place_of(std::uint64_t hash) const noexcept;
  [[nodiscard]] std::uint32_t other_bucket(std::uint32_t bucket, std::uint16_t tag) const noexcept;
  [[nodiscard]] Entry& entry(Slot slot) const noexcept {
    return entries_[std::size_t{slot.bucket} * kSlots + slot.index];
  }
  [[nodiscard]] TagGroup shared_tags(std::uint32_t bucket) const noexcept {
    return {load_acquire(tags_[bucket].low), load_acquire(tags_[bucket].high)};
  }
  void set_tag(Slot slot, std::uint16_t tag) noexcept;
  Entry* fill(Slot slot, const Place& place, const Key& key, const FlowData& data) noexcept;
  [[nodiscard]] std::optional<Slot> make_room(const Place& place) noexcept;
  template <class Expired>
  [[nodiscard]] Slot idlest(const Place& place, TickMs now, bool& is_expired,
                            Expired& expired) const noexcept;
  [[nodiscard]] std::optional<FlowData> read_bucket(
      std::uint32_t bucket, std::uint16_t tag, const typename Entry::KeyWords& key) const noexcept;

  // Hot:
  TagGroup* tags_ = nullptr;
  Entry* entries_ = nullptr;
  std::uint32_t buckets_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t moves_ =
      0;  // entries moved so far: a reader that missed looks again when it has changed
  std::uint32_t sweep_next_ = 0;
  // Cold:
  std::uint32_t flows_max_ = 0;
  MappedMemory memory_;
};

}  // namespace lb

#include "dataplane/table/flow_table_impl.h"  // IWYU pragma: export
