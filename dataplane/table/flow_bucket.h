// SPDX-License-Identifier: Apache-2.0
// FlowBucket<Key>: eight flows, their tags, and when the kernel last forwarded a packet of each:
// lb_flow_bucket4 and lb_flow_bucket6 of bpf/lb_abi.h. The owner writes tags and flows and any
// thread reads them, the XDP program too; that program writes `seen`, at any time and whatever
// stands in the slot meanwhile. Used by FlowTable only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/lb_abi.h"
#include "dataplane/base/clock.h"
#include "dataplane/table/flow_entry.h"
#include "dataplane/table/tag_group.h"

namespace lb {

template <class Key>
struct alignas(64) FlowBucket {
  LB_FLOW_BUCKET_HEAD;
  FlowEntry<Key> flows[LB_FLOW_SLOTS];

  // Owner thread only:
  [[nodiscard]] TagGroup group() const noexcept { return {tags[0], tags[1]}; }
  void set_tag(unsigned slot, std::uint16_t tag) noexcept {
    const unsigned shift = 16 * (slot % 4);
    const std::uint64_t others = tags[slot / 4] & ~(std::uint64_t{0xffff} << shift);
    store_release(tags[slot / 4], others | std::uint64_t{tag} << shift);
  }
  void set_seen(unsigned slot, TickMs tick) noexcept {
    __atomic_store_n(&seen[slot], tick, __ATOMIC_RELAXED);
  }
  /// Nothing when the kernel has written another tick meanwhile.
  void replace_seen(unsigned slot, TickMs from, TickMs to) noexcept {
    __atomic_compare_exchange_n(&seen[slot], &from, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }

  // Any thread:
  [[nodiscard]] TagGroup shared_group() const noexcept {
    return {load_acquire(tags[0]), load_acquire(tags[1])};
  }
  [[nodiscard]] TickMs seen_at(unsigned slot) const noexcept {
    return __atomic_load_n(&seen[slot], __ATOMIC_RELAXED);
  }
};

static_assert(TagGroup::kSlots == LB_FLOW_SLOTS);
static_assert(sizeof(FlowBucket<FlowKey4>) == sizeof(lb_flow_bucket4) &&
              sizeof(FlowBucket<FlowKey6>) == sizeof(lb_flow_bucket6));
static_assert(offsetof(FlowBucket<FlowKey4>, tags) == offsetof(lb_flow_bucket4, tags) &&
              offsetof(FlowBucket<FlowKey6>, tags) == offsetof(lb_flow_bucket6, tags));
static_assert(offsetof(FlowBucket<FlowKey4>, seen) == offsetof(lb_flow_bucket4, seen) &&
              offsetof(FlowBucket<FlowKey6>, seen) == offsetof(lb_flow_bucket6, seen));
static_assert(offsetof(FlowBucket<FlowKey4>, flows) == offsetof(lb_flow_bucket4, flows) &&
              offsetof(FlowBucket<FlowKey6>, flows) == offsetof(lb_flow_bucket6, flows));

}  // namespace lb
