// SPDX-License-Identifier: Apache-2.0
// The bodies of FlowTable<Key>; included by flow_table.h alone. How a reader never misses a flow
// that is being moved: the owner writes the copy, then counts the move, then takes the original
// away; a reader that found nothing looks again if a move was counted meanwhile.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "dataplane/table/flow_table.h"

namespace lb {

template <class Key>
Result<FlowTable<Key>> FlowTable<Key>::sized(std::uint32_t flows_max) {
  if (flows_max == 0 || flows_max > kFlowsMaxLimit) {
    return fail(EINVAL, "flows_max " + std::to_string(flows_max) + " is not within 1 and " +
                            std::to_string(kFlowsMaxLimit));
  }
  FlowTable table;
  table.flows_max_ = flows_max;
  table.buckets_ = buckets_for(flows_max);
  return table;
}

template <class Key>
Result<FlowTable<Key>> FlowTable<Key>::create(std::uint32_t flows_max, bool want_huge) {
  LB_TRY_ASSIGN(FlowTable table, sized(flows_max));
  auto memory = MappedMemory::create(memory_bytes_for(flows_max), want_huge);
  if (!memory) {
    return fail_in("flow table for " + std::to_string(flows_max) + " flows",
                   std::move(memory).error());
  }
  table.memory_ = std::move(*memory);
  // The mapping is zero: empty tags, sequence 0.
  table.array_ = reinterpret_cast<Bucket*>(table.memory_.data());
  return table;
}

template <class Key>
Result<FlowTable<Key>> FlowTable<Key>::over(std::span<std::byte> memory, std::uint32_t flows_max,
                                            TickMs now) {
  LB_TRY_ASSIGN(FlowTable table, sized(flows_max));
  if (memory.size() < memory_bytes_for(flows_max)) {
    return fail(EINVAL, "flow memory of " + std::to_string(memory.size()) +
                            " bytes: " + std::to_string(flows_max) + " flows take " +
                            std::to_string(memory_bytes_for(flows_max)));
  }
  if (reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(Bucket) != 0) {
    return fail(EINVAL, "flow memory that is not aligned to cache lines");
  }
  table.array_ = reinterpret_cast<Bucket*>(memory.data());
  table.is_shared_ = true;
  for (std::uint32_t bucket = 0; bucket < table.buckets_; ++bucket) {
    for (unsigned index = 0; index < kSlots; ++index) {
      if (table.adopt({bucket, index}, now)) ++table.size_;
    }
  }
  return table;
}

/// Mends a slot of taken over memory; whether a flow stands in it then.
template <class Key>
bool FlowTable<Key>::adopt(Slot slot, TickMs now) noexcept {
  Bucket& bucket = array_[slot.bucket];
  Entry& found = entry(slot);
  if (found.is_torn()) {  // in a free slot too: a sequence that begins odd would never be even
    bucket.set_tag(slot.index, 0);
    found.mend();
  }
  if (bucket.group().at(slot.index) == 0) return false;
  FlowData flow = found.data();
  const TickMs seen = bucket.seen_at(slot.index);
  const bool is_late = ms_since(flow.last_seen, now) > kSeenAheadMs;
  const bool is_seen_late = ms_since(seen, now) > kSeenAheadMs;
  if (is_late && is_seen_late) {
    bucket.set_tag(slot.index, 0);
    return false;
  }
  if (is_seen_late) {
    bucket.replace_seen(slot.index, seen, flow.last_seen);
  } else if (is_late) {
    flow.last_seen = seen;
    found.update(flow);
  }
  return true;
}

template <class Key>
typename FlowTable<Key>::Place FlowTable<Key>::place_of(std::uint64_t hash) const noexcept {
  const std::uint32_t first = lb_flow_bucket(hash, buckets_);
  const std::uint16_t tag = lb_flow_tag(hash);
  return {first, lb_flow_other_bucket(first, tag, buckets_), tag};
}

template <class Key>
typename FlowTable<Key>::Slot FlowTable<Key>::where(const Entry& entry) const noexcept {
  // A bucket is as long as a number of entries, and its head as well.
  constexpr std::uint32_t kLength = sizeof(Bucket) / sizeof(Entry);
  constexpr std::uint32_t kHead = offsetof(Bucket, flows) / sizeof(Entry);
  static_assert(kLength * sizeof(Entry) == sizeof(Bucket) && kHead + kSlots == kLength);
  static_assert(std::uint64_t{buckets_for(kFlowsMaxLimit)} * kLength <= UINT32_MAX);
  const auto bytes =
      reinterpret_cast<const std::byte*>(&entry) - reinterpret_cast<const std::byte*>(array_);
  const auto at = static_cast<std::uint32_t>(static_cast<std::size_t>(bytes) / sizeof(Entry));
  LB_DCHECK(at < buckets_ * kLength && at % kLength >= kHead);
  return {at / kLength, at % kLength - kHead};
}

template <class Key>
void FlowTable<Key>::prefetch_entry(std::uint64_t hash) const noexcept {
  keep_prefetch();
  const std::uint32_t first = lb_flow_bucket(hash, buckets_);
  const std::uint16_t tag = lb_flow_tag(hash);
  if (const unsigned mask = array_[first].group().match(tag); mask != 0) [[likely]] {
    __builtin_prefetch(&entry({first, static_cast<unsigned>(std::countr_zero(mask))}), 1);
  } else {
    __builtin_prefetch(&array_[lb_flow_other_bucket(first, tag, buckets_)]);
  }
}

template <class Key>
typename FlowTable<Key>::Entry* FlowTable<Key>::find_in(
    std::uint32_t bucket, std::uint16_t tag, const typename Entry::KeyWords& key) noexcept {
  for (unsigned mask = array_[bucket].group().match(tag); mask != 0; mask &= mask - 1) {
    Entry& candidate = entry({bucket, static_cast<unsigned>(std::countr_zero(mask))});
    if (candidate.holds(key)) [[likely]] {
      return &candidate;
    }
  }
  return nullptr;
}

template <class Key>
typename FlowTable<Key>::Entry* FlowTable<Key>::find(const Key& key, std::uint64_t hash) noexcept {
  const auto words = Entry::words_of(key);
  const std::uint32_t first = lb_flow_bucket(hash, buckets_);
  const std::uint16_t tag = lb_flow_tag(hash);
  if (Entry* found = find_in(first, tag, words)) [[likely]] {
    return found;
  }
  return find_in(lb_flow_other_bucket(first, tag, buckets_), tag, words);
}

template <class Key>
typename FlowTable<Key>::Entry* FlowTable<Key>::fill(Slot slot, const Place& place, const Key& key,
                                                     const FlowData& data) noexcept {
  Entry& target = entry(slot);
  // First, as a slot whose tag stays the same shows its new flow at once.
  array_[slot.bucket].set_seen(slot.index, data.last_seen);
  target.write(Entry::words_of(key), data);
  array_[slot.bucket].set_tag(slot.index, place.tag);
  return &target;
}

template <class Key>
template <class Expired>
typename FlowTable<Key>::Inserted FlowTable<Key>::insert(const Key& key, std::uint64_t hash,
                                                         const FlowData& data,
                                                         Expired&& expired) noexcept {
  LB_DCHECK(find(key, hash) == nullptr);
  const Place place = place_of(hash);
  const unsigned first = array_[place.first].group().empty();
  const unsigned second = array_[place.second].group().empty();
  if ((first | second) != 0) [[likely]] {
    // Into the first bucket while it has room to spare, since find() looks there first; else into
    // the less loaded one, which keeps full buckets rare at three quarters load.
    const int room = std::popcount(first);
    const bool use_first = room >= kRoomToSpare || room >= std::popcount(second);
    const auto index = static_cast<unsigned>(std::countr_zero(use_first ? first : second));
    Entry* target = fill({use_first ? place.first : place.second, index}, place, key, data);
    store_release(size_, size_ + 1);
    return {target, InsertOutcome::Inserted, {}, false};
  }
  bool is_expired = false;
  const Slot victim = idlest(place, data.last_seen, is_expired, expired);
  if (!is_expired) {
    if (const std::optional<Slot> room = make_room(place)) {
      Entry* target = fill(*room, place, key, data);
      store_release(size_, size_ + 1);
      return {target, InsertOutcome::Inserted, {}, false};
    }
  }
  const FlowData evicted = data_at(victim);
  Entry* target = fill(victim, place, key, data);
  return {target, is_expired ? InsertOutcome::EvictedIdle : InsertOutcome::EvictedAlive, evicted,
          true};
}

/// The flow to replace in two full buckets: the longest idle of the expired ones, else of the half
/// open and closing ones, else of all. A flood of SYNs is always fresh: by idleness alone it would
/// push out the established flows first.
template <class Key>
template <class Expired>
typename FlowTable<Key>::Slot FlowTable<Key>::idlest(const Place& place, TickMs now,
                                                     bool& is_expired,
                                                     Expired& expired) const noexcept {
  enum : int { kActive, kHalfOpen, kExpired };
  Slot best{place.first, 0};
  std::int64_t best_idle = INT64_MIN;
  int best_rank = -1;
  for (std::uint32_t bucket : {place.first, place.second}) {
    for (unsigned index = 0; index < kSlots; ++index) {
      const FlowData flow = data_at({bucket, index});
      const int rank = expired(flow) ? kExpired : is_active(flow.state) ? kActive : kHalfOpen;
      const std::int64_t idle = ms_since(now, flow.last_seen);
      if (rank > best_rank || (rank == best_rank && idle > best_idle)) {
        best = {bucket, index};
        best_idle = idle;
        best_rank = rank;
      }
    }
  }
  is_expired = best_rank == kExpired;
  return best;
}

/// Moves one of the sixteen to its other bucket when that has a free slot; the slot it left. At
/// most sixteen tag groups are looked at. The slot still carries the old tag and entry: the caller
/// overwrites both. A packet that the kernel forwards right now may leave its tick in the old slot.
template <class Key>
std::optional<typename FlowTable<Key>::Slot> FlowTable<Key>::make_room(
    const Place& place) noexcept {
  for (std::uint32_t bucket : {place.first, place.second}) {
    for (unsigned index = 0; index < kSlots; ++index) {
      const std::uint16_t tag = array_[bucket].group().at(index);
      const std::uint32_t other = lb_flow_other_bucket(bucket, tag, buckets_);
      const unsigned free = array_[other].group().empty();
      if (free == 0) continue;
      const Slot from{bucket, index};
      const Slot to{other, static_cast<unsigned>(std::countr_zero(free))};
      const Entry& moved = entry(from);
      entry(to).write(Entry::words_of(moved.key()), moved.data());
      array_[other].set_seen(to.index, array_[bucket].seen_at(index));
      array_[other].set_tag(to.index, tag);
      store_release(moves_, moves_ + 1);
      return from;
    }
  }
  return std::nullopt;
}

template <class Key>
void FlowTable<Key>::erase(Entry& target) noexcept {
  const Slot slot = where(target);
  LB_DCHECK(array_[slot.bucket].group().at(slot.index) != 0);
  array_[slot.bucket].set_tag(slot.index, 0);
  store_release(size_, size_ - 1);
}

/// Keeps the two ticks of a flow that only one side sees near enough to be compared, however long
/// it lives.
template <class Key>
void FlowTable<Key>::join_ticks(Slot slot) noexcept {
  FlowData flow = entry(slot).data();
  const TickMs seen = array_[slot.bucket].seen_at(slot.index);
  const std::int32_t ahead = ms_since(seen, flow.last_seen);
  if (ahead > kTicksApartMs) {
    flow.last_seen = seen;
    entry(slot).update(flow);
  } else if (ahead < -kTicksApartMs) {
    array_[slot.bucket].replace_seen(slot.index, seen, flow.last_seen);
  }
}

template <class Key>
template <class Visit>
void FlowTable<Key>::sweep(std::uint32_t buckets, Visit&& visit) noexcept {
  const std::uint32_t count = std::min(buckets, buckets_);
  for (std::uint32_t done = 0; done < count; ++done) {
    const std::uint32_t bucket = sweep_next_;
    sweep_next_ = bucket + 1 == buckets_ ? 0 : bucket + 1;
    __builtin_prefetch(&array_[sweep_next_]);
    unsigned used = ~array_[bucket].group().empty() & ((1U << kSlots) - 1);
    for (; used != 0; used &= used - 1) {
      const Slot slot{bucket, static_cast<unsigned>(std::countr_zero(used))};
      join_ticks(slot);
      if (visit(entry(slot).key(), data_at(slot))) erase(entry(slot));
    }
  }
}

/// A whole copy; `seen` may be that of the flow which takes the slot at this moment.
template <class Key>
bool FlowTable<Key>::copy(Slot slot, typename Entry::KeyWords& key, FlowData& data) const noexcept {
  if (!entry(slot).copy(key, data)) return false;
  data = with_seen(data, slot);
  return true;
}

template <class Key>
std::optional<FlowData> FlowTable<Key>::read_bucket(
    std::uint32_t bucket, std::uint16_t tag, const typename Entry::KeyWords& key) const noexcept {
  typename Entry::KeyWords found;
  FlowData flow;
  for (unsigned mask = array_[bucket].shared_group().match(tag); mask != 0; mask &= mask - 1) {
    const Slot slot{bucket, static_cast<unsigned>(std::countr_zero(mask))};
    if (!copy(slot, found, flow) || found != key) continue;
    // The slot may have been emptied, and its words stand there until it is filled anew.
    if (array_[bucket].shared_group().at(slot.index) == tag) return flow;
  }
  return std::nullopt;
}

template <class Key>
std::optional<FlowData> FlowTable<Key>::read(const Key& key, std::uint64_t hash) const noexcept {
  const Place place = place_of(hash);
  const auto words = Entry::words_of(key);
  for (int tries = 0; tries < kMoveRetries; ++tries) {
    const std::uint32_t moves = load_acquire(moves_);
    if (auto flow = read_bucket(place.first, place.tag, words)) return flow;
    if (auto flow = read_bucket(place.second, place.tag, words)) return flow;
    if (load_acquire(moves_) == moves) return std::nullopt;
  }
  return std::nullopt;
}

template <class Key>
template <class Visit>
void FlowTable<Key>::read_range(std::uint32_t first, std::uint32_t count, Visit&& visit) const {
  const std::uint64_t end = std::min<std::uint64_t>(std::uint64_t{first} + count, buckets_);
  typename Entry::KeyWords key;
  FlowData flow;
  for (std::uint64_t at = first; at < end; ++at) {
    const auto bucket = static_cast<std::uint32_t>(at);
    const TagGroup tags = array_[bucket].shared_group();
    for (unsigned index = 0; index < kSlots; ++index) {
      const std::uint16_t tag = tags.at(index);
      if (tag == 0 || !copy({bucket, index}, key, flow)) continue;
      if (array_[bucket].shared_group().at(index) == tag) visit(std::bit_cast<Key>(key), flow);
    }
  }
}

}  // namespace lb
