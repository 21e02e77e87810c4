// SPDX-License-Identifier: Apache-2.0
// KernelFlows<Key>: flow memory as a mapped BPF array would be, and the XDP program's view of it:
// it finds flows by the layout of bpf/lb_abi.h alone, trusts no entry that is being written, and
// writes `seen`. Any thread, while another owns a FlowTable over the memory.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "bpf/lb_abi.h"
#include "dataplane/packet/flow_key.h"
#include "dataplane/table/flow_table.h"
#include "dataplane/table/mapped_memory.h"

namespace lb::test {

template <class Key>
class KernelFlows {
  static constexpr bool kV4 = std::is_same_v<Key, FlowKey4>;

 public:
  using Bucket = std::conditional_t<kV4, lb_flow_bucket4, lb_flow_bucket6>;
  using Flow = std::conditional_t<kV4, lb_flow4, lb_flow6>;
  struct Found {
    std::uint64_t ids;
    std::uint64_t stamp;
    Flow* flow;
    __u32* seen;
    void see(TickMs tick) const noexcept { __atomic_store_n(seen, tick, __ATOMIC_RELAXED); }
  };

  explicit KernelFlows(std::uint32_t flows_max)
      : buckets_(FlowTable<Key>::buckets_for(flows_max)),
        memory_(std::move(*MappedMemory::create(buckets_ * sizeof(Bucket), false))) {}

  [[nodiscard]] std::span<std::byte> memory() const noexcept {
    return {memory_.data(), buckets_ * sizeof(Bucket)};
  }
  [[nodiscard]] Bucket& bucket(std::uint32_t index) const noexcept {
    return reinterpret_cast<Bucket*>(memory_.data())[index];
  }

  [[nodiscard]] std::optional<Found> find(const Key& key, std::uint64_t hash) const noexcept {
    const std::uint32_t first = lb_flow_bucket(hash, buckets_);
    const std::uint16_t tag = lb_flow_tag(hash);
    if (auto found = find_in(bucket(first), tag, key)) return found;
    return find_in(bucket(lb_flow_other_bucket(first, tag, buckets_)), tag, key);
  }

 private:
  static __u64 load(const __u64& word) noexcept { return __atomic_load_n(&word, __ATOMIC_ACQUIRE); }

  static std::optional<Found> find_in(Bucket& bucket, std::uint16_t tag, const Key& key) noexcept {
    const auto words = std::bit_cast<std::array<std::uint64_t, sizeof(Key) / 8>>(key);
    for (unsigned slot = 0; slot < LB_FLOW_SLOTS; ++slot) {
      const __u64 tags = load(bucket.tags[slot / 4]);
      if (static_cast<std::uint16_t>(tags >> (16 * (slot % 4))) != tag) continue;
      Flow& flow = bucket.flows[slot];
      const std::uint64_t before = load(flow.stamp);
      std::uint64_t difference = 0;
      for (unsigned i = 0; i < words.size(); ++i) difference |= load(flow.key[i]) ^ words[i];
      const std::uint64_t ids = load(flow.ids);
      const std::uint64_t changed = before ^ load(flow.stamp);
      const bool writing = ((before >> LB_STAMP_SEQUENCE_SHIFT) & 1) != 0;
      if (difference != 0 || writing || changed >> LB_STAMP_SEQUENCE_SHIFT != 0) continue;
      return Found{ids, before, &flow, &bucket.seen[slot]};
    }
    return std::nullopt;
  }

  std::uint32_t buckets_;
  MappedMemory memory_;
};

}  // namespace lb::test
