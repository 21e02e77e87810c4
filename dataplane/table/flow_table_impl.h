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
Result<FlowTable<Key>> FlowTable<Key>::create(std::uint32_t flows_max, bool want_huge) {
  if (flows_max == 0 || flows_max > kFlowsMaxLimit) {
    return fail(EINVAL, "flows_max " + std::to_string(flows_max) + " is not within 1 and " +
                            std::to_string(kFlowsMaxLimit));
  }
  FlowTable table;
  table.flows_max_ = flows_max;
  table.buckets_ = buckets_for(flows_max);
  auto memory = MappedMemory::create(memory_bytes_for(flows_max), want_huge);
  if (!memory) {
    return fail_in("flow table for " + std::to_string(flows_max) + " flows",
                   std::move(memory).error());
  }
  table.memory_ = std::move(*memory);
  // The mapping is zero: empty tags, sequence 0. Entries go first, they have the wider alignment.
  std::byte* data = table.memory_.data();
  const std::size_t entry_bytes = std::size_t{table.buckets_} * kSlots * sizeof(Entry);
  table.entries_ = reinterpret_cast<Entry*>(data);
  table.tags_ = reinterpret_cast<TagGroup*>(data + entry_bytes);
  return table;
}

template <class Key>
std::uint32_t FlowTable<Key>::other_bucket(std::uint32_t bucket, std::uint16_t tag) const noexcept {
  // bucket + other = sum(tag) modulo the number of buckets: its own inverse for any number of
  // buckets.
  const std::uint32_t spread = std::uint32_t{tag} * 0x9e3779b1U;
  const auto sum = static_cast<std::uint32_t>((std::uint64_t{spread} * buckets_) >> 32);
  return sum >= bucket ? sum - bucket : sum + buckets_ - bucket;
}

template <class Key>
typename FlowTable<Key>::Place FlowTable<Key>::place_of(std::uint64_t hash) const noexcept {
  const std::uint32_t first = first_bucket(hash);
  const std::uint16_t tag = tag_of(hash);
  return {first, other_bucket(first, tag), tag};
}

template <class Key>
void FlowTable<Key>::prefetch_entry(std::uint64_t hash) const noexcept {
  keep_prefetch();
  const std::uint32_t first = first_bucket(hash);
  const std::uint16_t tag = tag_of(hash);
  if (const unsigned mask = tags_[first].match(tag); mask != 0) [[likely]] {
    __builtin_prefetch(&entry({first, static_cast<unsigned>(std::countr_zero(mask))}), 1);
  } else {
    __builtin_prefetch(&tags_[other_bucket(first, tag)]);
  }
}

template <class Key>
typename FlowTable<Key>::Entry* FlowTable<Key>::find_in(
    std::uint32_t bucket, std::uint16_t tag, const typename Entry::KeyWords& key) noexcept {
  for (unsigned mask = tags_[bucket].match(tag); mask != 0; mask &= mask - 1) {
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
  const std::uint32_t first = first_bucket(hash);
  const std::uint16_t tag = tag_of(hash);
  if (Entry* found = find_in(first, tag, words)) [[likely]] {
    return found;
  }
  return find_in(other_bucket(first, tag), tag, words);
}

template <class Key>
void FlowTable<Key>::set_tag(Slot slot, std::uint16_t tag) noexcept {
  std::uint64_t& word = slot.index < 4 ? tags_[slot.bucket].low : tags_[slot.bucket].high;
  const unsigned shift = 16 * (slot.index % 4);
  store_release(word, (word & ~(std::uint64_t{0xffff} << shift)) | std::uint64_t{tag} << shift);
}

template <class Key>
typename FlowTable<Key>::Entry* FlowTable<Key>::fill(Slot slot, const Place& place, const Key& key,
                                                     const FlowData& data) noexcept {
  Entry& target = entry(slot);
  target.write(Entry::words_of(key), data);
  set_tag(slot, place.tag);
  return &target;
}

template <class Key>
template <class Expired>
typename FlowTable<Key>::Inserted FlowTable<Key>::insert(const Key& key, std::uint64_t hash,
                                                         const FlowData& data,
                                                         Expired&& expired) noexcept {
  LB_DCHECK(find(key, hash) == nullptr);
  const Place place = place_of(hash);
  const unsigned first = tags_[place.first].empty();
  const unsigned second = tags_[place.second].empty();
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
  const FlowData evicted = entry(victim).data();
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
      const FlowData flow = entry({bucket, index}).data();
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
/// overwrites both.
template <class Key>
std::optional<typename FlowTable<Key>::Slot> FlowTable<Key>::make_room(
    const Place& place) noexcept {
  for (std::uint32_t bucket : {place.first, place.second}) {
    for (unsigned index = 0; index < kSlots; ++index) {
      const std::uint16_t tag = tags_[bucket].at(index);
      const std::uint32_t other = other_bucket(bucket, tag);
      const unsigned free = tags_[other].empty();
      if (free == 0) continue;
      const Slot from{bucket, index};
      const Slot to{other, static_cast<unsigned>(std::countr_zero(free))};
      const Entry& moved = entry(from);
      entry(to).write(Entry::words_of(moved.key()), moved.data());
      set_tag(to, tag);
      store_release(moves_, moves_ + 1);
      return from;
    }
  }
  return std::nullopt;
}

template <class Key>
void FlowTable<Key>::erase(Entry& target) noexcept {
  const auto index = static_cast<std::size_t>(&target - entries_);
  LB_DCHECK(index < slots());
  const Slot slot{static_cast<std::uint32_t>(index / kSlots),
                  static_cast<unsigned>(index % kSlots)};
  LB_DCHECK(tags_[slot.bucket].at(slot.index) != 0);
  set_tag(slot, 0);
  store_release(size_, size_ - 1);
}

template <class Key>
template <class Visit>
void FlowTable<Key>::sweep(std::uint32_t buckets, Visit&& visit) noexcept {
  const std::uint32_t count = std::min(buckets, buckets_);
  for (std::uint32_t done = 0; done < count; ++done) {
    const std::uint32_t bucket = sweep_next_;
    sweep_next_ = bucket + 1 == buckets_ ? 0 : bucket + 1;
    __builtin_prefetch(&tags_[sweep_next_]);
    unsigned used = ~tags_[bucket].empty() & ((1U << kSlots) - 1);
    for (; used != 0; used &= used - 1) {
      Entry& candidate = entry({bucket, static_cast<unsigned>(std::countr_zero(used))});
      if (visit(candidate.key(), candidate.data())) erase(candidate);
    }
  }
}

template <class Key>
std::optional<FlowData> FlowTable<Key>::read_bucket(
    std::uint32_t bucket, std::uint16_t tag, const typename Entry::KeyWords& key) const noexcept {
  typename Entry::KeyWords found;
  FlowData flow;
  for (unsigned mask = shared_tags(bucket).match(tag); mask != 0; mask &= mask - 1) {
    const Slot slot{bucket, static_cast<unsigned>(std::countr_zero(mask))};
    if (!entry(slot).copy(found, flow) || found != key) continue;
    // The slot may have been emptied, and its words stand there until it is filled anew.
    if (shared_tags(bucket).at(slot.index) == tag) return flow;
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
    const TagGroup tags = shared_tags(bucket);
    for (unsigned index = 0; index < kSlots; ++index) {
      const std::uint16_t tag = tags.at(index);
      if (tag == 0 || !entry({bucket, index}).copy(key, flow)) continue;
      if (shared_tags(bucket).at(index) == tag) visit(std::bit_cast<Key>(key), flow);
    }
  }
}

}  // namespace lb
