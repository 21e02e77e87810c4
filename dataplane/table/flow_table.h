// SPDX-License-Identifier: Apache-2.0
// FlowTable<Key>: which real server a flow belongs to. Fixed memory, its own or a mapped BPF array;
// two candidate buckets of eight slots a key, tags compared at once. One thread (its worker)
// writes; any thread may read() under a sequence lock. The XDP program reads likewise and writes
// `seen`, so a flow was last seen at the later of two ticks: its entry's and its slot's.
// Invariants: a key stands in at most one slot, in one of its two buckets (two for an instant while
// it is moved, for readers only); the tag of an empty slot is 0; an entry lies in one cache line; a
// reader gets a whole entry or none; a slot's `seen` is not older than the flow in it. The second
// bucket follows from the first and the tag, so an entry moves without its key's hash.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "bpf/lb_abi.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
#include "dataplane/packet/flow_key.h"
#include "dataplane/table/flow_bucket.h"
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
  /// On memory that outlives the table and belongs to somebody else: zeroed, or as an earlier table
  /// left it, whose flows stay. What it holds is not trusted: entries that a writer left half
  /// written are dropped, and flows that were not seen for 24 days, whose ticks are later than
  /// `now`. Harmless, hence kept until they age: a flow in a bucket or under a tag that is not its
  /// key's (nobody finds it), a key that stands twice (the first one found counts), unknown states
  /// and ids. No other thread may write to the memory; the XDP program may run.
  /// Errors: EINVAL for flows_max as above, less than memory_bytes_for(flows_max), or memory that
  /// is not aligned to 64 bytes.
  [[nodiscard]] static Result<FlowTable> over(std::span<std::byte> memory, std::uint32_t flows_max,
                                              TickMs now);
  /// Six of a bucket's eight slots at flows_max; at least two buckets.
  [[nodiscard]] static constexpr std::uint32_t buckets_for(std::uint32_t flows_max) noexcept {
    const std::uint32_t buckets = (flows_max + 5) / 6;
    return buckets < 2 ? 2 : buckets;
  }
  [[nodiscard]] static constexpr std::size_t bucket_bytes() noexcept { return sizeof(Bucket); }
  /// What create(flows_max) will take, without huge-page rounding.
  [[nodiscard]] static constexpr std::size_t memory_bytes_for(std::uint32_t flows_max) noexcept {
    return bucket_bytes() * std::size_t{buckets_for(flows_max)};
  }

  // Owner thread only:
  /// Asks for the tags of the first bucket. First of two stages over a batch; find() needs neither,
  /// they hide its misses.
  void prefetch(std::uint64_t hash) const noexcept {
    keep_prefetch();
    __builtin_prefetch(&array_[lb_flow_bucket(hash, buckets_)]);
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
  /// data.last_seen counts where the kernel has not seen a later packet.
  void update(Entry& entry, const FlowData& data) noexcept { entry.update(data); }
  void erase(Entry& entry) noexcept;
  /// With last_seen as the worker or the kernel saw it. REQUIRES: `entry` is one of this table's.
  [[nodiscard]] FlowData data(const Entry& entry) const noexcept {
    const FlowData flow = entry.data();
    return is_shared_ ? with_seen(flow, where(entry)) : flow;
  }
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
  /// What was taken; of memory that is somebody else's, what is used.
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return memory_.bytes() != 0 ? memory_.bytes() : memory_bytes_for(flows_max_);
  }

 private:
  using Bucket = FlowBucket<Key>;
  static constexpr unsigned kSlots = LB_FLOW_SLOTS;
  /// How far a slot's two ticks may be apart before sweep() brings them together.
  static constexpr std::int32_t kTicksApartMs = 1 << 30;
  /// How much later than the `now` of over() the kernel can have seen a flow.
  static constexpr std::int32_t kSeenAheadMs = 60'000;
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
  [[nodiscard]] static Result<FlowTable> sized(std::uint32_t flows_max);
  [[nodiscard]] Entry* find_in(std::uint32_t bucket, std::uint16_t tag,
                               const typename Entry::KeyWords& key) noexcept;
  [[nodiscard]] Place place_of(std::uint64_t hash) const noexcept;
  [[nodiscard]] Entry& entry(Slot slot) const noexcept {
    return array_[slot.bucket].flows[slot.index];
  }
  [[nodiscard]] Slot where(const Entry& entry) const noexcept;
  [[nodiscard]] FlowData with_seen(FlowData flow, Slot slot) const noexcept {
    if (is_shared_) {
      flow.last_seen = later_tick(flow.last_seen, array_[slot.bucket].seen_at(slot.index));
    }
    return flow;
  }
  [[nodiscard]] FlowData data_at(Slot slot) const noexcept {
    return with_seen(entry(slot).data(), slot);
  }
  [[nodiscard]] bool copy(Slot slot, typename Entry::KeyWords& key, FlowData& data) const noexcept;
  [[nodiscard]] bool adopt(Slot slot, TickMs now) noexcept;
  void join_ticks(Slot slot) noexcept;
  Entry* fill(Slot slot, const Place& place, const Key& key, const FlowData& data) noexcept;
  [[nodiscard]] std::optional<Slot> make_room(const Place& place) noexcept;
  template <class Expired>
  [[nodiscard]] Slot idlest(const Place& place, TickMs now, bool& is_expired,
                            Expired& expired) const noexcept;
  [[nodiscard]] std::optional<FlowData> read_bucket(
      std::uint32_t bucket, std::uint16_t tag, const typename Entry::KeyWords& key) const noexcept;

  // Hot:
  Bucket* array_ = nullptr;
  std::uint32_t buckets_ = 0;
  bool is_shared_ = false;  // whether the kernel may write `seen`
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
