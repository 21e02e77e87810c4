// SPDX-License-Identifier: Apache-2.0
// FlowTable<Key>: which real server a flow belongs to. Fixed memory; two candidate buckets of eight
// slots a key, tags compared at once. One thread (its worker) writes; any thread may read() under a
// sequence lock. Invariants: a key stands in at most one slot, in one of its two buckets; the tag
// of an empty slot is 0; an entry lies in one cache line; a reader gets a whole entry or none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "dataplane/base/clock.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
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

enum class InsertOutcome : std::uint8_t {
  Inserted,      ///< into a free slot, or one whose flow had expired
  EvictedIdle,   ///< the idlest of the sixteen was replaced; it had expired
  EvictedAlive,  ///< the idlest of the sixteen was replaced; it was still within its timeout
};

template <class Key>
class FlowTable {
 public:
  /// A stored flow; valid until the owner's next insert, erase or sweep.
  struct Entry;
  struct Inserted {
    Entry* entry;
    InsertOutcome outcome;
    FlowData evicted;  ///< what stood there before, when outcome is not Inserted or an expired flow
                       ///< was reused
    bool replaced;     ///< evicted is valid
  };

  /// Takes all memory at once (huge pages where there are some, else normal ones). `flows_max` is
  /// reached at three quarters load. Errors: ENOMEM, EINVAL for 0 or more than 2^28.
  [[nodiscard]] static Result<FlowTable> create(std::uint32_t flows_max);

  // Owner thread only:
  void prefetch(std::uint64_t hash) const noexcept;
  /// Finds a flow, expired or not; the caller judges by last_seen, state and its service's
  /// timeouts.
  [[nodiscard]] Entry* find(const Key& key, std::uint64_t hash) noexcept;
  /// REQUIRES: find() said null for this key. `expired(const FlowData&)` tells whether a flow is
  /// past its timeout.
  template <class Expired>
  Inserted insert(const Key& key, std::uint64_t hash, const FlowData& data,
                  Expired&& expired) noexcept;
  void update(Entry& entry, const FlowData& data) noexcept;
  void erase(Entry& entry) noexcept;
  [[nodiscard]] static FlowData data(const Entry& entry) noexcept;
  /// Looks at the next `buckets` buckets; calls `visit(key, data)` for each flow in them, which
  /// answers whether to erase it. The incremental ageing of the worker.
  template <class Visit>
  void sweep(std::uint32_t buckets, Visit&& visit) noexcept;

  // Any thread:
  /// A consistent copy of a flow, or nothing; bounded retries, then nothing.
  [[nodiscard]] std::optional<FlowData> read(const Key& key, std::uint64_t hash) const noexcept;
  /// Consistent copies of all flows in buckets [first, first + count), to `visit(key, data)`.
  template <class Visit>
  void read_range(std::uint32_t first, std::uint32_t count, Visit&& visit) const;
  [[nodiscard]] std::uint32_t buckets() const noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept;  ///< flows stored now
  [[nodiscard]] std::uint32_t flows_max() const noexcept;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;
};

}  // namespace lb
