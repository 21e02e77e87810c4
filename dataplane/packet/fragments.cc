// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/fragments.h"

#include <algorithm>
#include <bit>

namespace lb {
namespace {

std::uint64_t pack(const FragmentTarget& target) noexcept {
  return raw(target.rs) | static_cast<std::uint64_t>(raw(target.service)) << 32;
}

FragmentTarget unpack(std::uint64_t word) noexcept {
  return {static_cast<RsId>(static_cast<std::uint32_t>(word)),
          static_cast<ServiceId>(static_cast<std::uint32_t>(word >> 32))};
}

}  // namespace

FragmentKey fragment_key(const ParsedPacket& parsed) noexcept {
  FragmentKey key;
  if (parsed.family == Family::V4) {
    key.words[0] = parsed.key.v4.client.raw();
    key.words[2] = parsed.key.v4.vip.raw();
    key.words[4] = parsed.fragment_id | std::uint64_t{parsed.proto} << 32 | std::uint64_t{4} << 40;
  } else {
    for (int i = 0; i < 2; ++i) {
      key.words[i] = parsed.key.v6.client[i];
      key.words[2 + i] = parsed.key.v6.vip[i];
    }
    key.words[4] = parsed.fragment_id | std::uint64_t{6} << 40;
  }
  return key;
}

FragmentTable::FragmentTable(std::uint32_t datagrams, std::uint32_t timeout_ms,
                             const lb_hash_key& secret)
    : secret_(secret),
      timeout_ms_(timeout_ms),
      buckets_(std::bit_ceil(std::max(1U, (datagrams + kSlots - 1) / kSlots))),
      memory_(std::make_unique<Bucket[]>(buckets_)) {}

FragmentTable::Bucket& FragmentTable::bucket_of(const FragmentKey& key) const noexcept {
  const std::uint64_t hash = lb_hash_flow6(reinterpret_cast<const __u64*>(key.words),
                                           reinterpret_cast<const __u64*>(key.words + 2),
                                           static_cast<std::uint32_t>(key.words[4]),
                                           static_cast<std::uint8_t>(key.words[4] >> 32), &secret_);
  return memory_[(hash >> 32) & (buckets_ - 1)];
}

bool FragmentTable::alive(const Slot& slot, TickMs now) const noexcept {
  if (slot.target.load(std::memory_order_relaxed) == 0) return false;
  return ms_since(now, slot.since.load(std::memory_order_relaxed)) <=
         static_cast<std::int32_t>(timeout_ms_);
}

void FragmentTable::put(const FragmentKey& key, const FragmentTarget& target, TickMs now) noexcept {
  Bucket& bucket = bucket_of(key);
  auto same = [&](const Slot& slot) {
    return std::equal(slot.key.begin(), slot.key.end(), key.words,
                      [](const auto& a, auto b) { return a.load(std::memory_order_relaxed) == b; });
  };
  Slot* place = nullptr;
  Slot* oldest = &bucket.slots[0];
  for (Slot& slot : bucket.slots) {
    if (same(slot)) {
      place = &slot;
      break;
    }
    if (place == nullptr && !alive(slot, now)) place = &slot;
    if (ms_since(slot.since.load(std::memory_order_relaxed),
                 oldest->since.load(std::memory_order_relaxed)) < 0) {
      oldest = &slot;
    }
  }
  if (place == nullptr) place = oldest;
  const std::uint32_t sequence = place->sequence.load(std::memory_order_relaxed);
  place->sequence.store(sequence + 1, std::memory_order_relaxed);
  place->target.store(pack(target), std::memory_order_release);
  place->since.store(now, std::memory_order_release);
  for (std::size_t i = 0; i < 5; ++i) place->key[i].store(key.words[i], std::memory_order_release);
  place->sequence.store(sequence + 2, std::memory_order_release);
}

void FragmentTable::age(TickMs now) noexcept {
  for (Slot& slot : memory_[next_aged_].slots) {
    if (!alive(slot, now)) slot.target.store(0, std::memory_order_relaxed);
  }
  next_aged_ = (next_aged_ + 1) & (buckets_ - 1);
}

std::optional<FragmentTarget> FragmentTable::read(const FragmentKey& key,
                                                  TickMs now) const noexcept {
  for (const Slot& slot : bucket_of(key).slots) {
    for (int i = 0; i < kReadTries; ++i) {
      const std::uint32_t before = slot.sequence.load(std::memory_order_acquire);
      const std::uint64_t target = slot.target.load(std::memory_order_acquire);
      const TickMs since = slot.since.load(std::memory_order_acquire);
      bool same = true;
      for (std::size_t w = 0; w < 5; ++w) {
        same &= slot.key[w].load(std::memory_order_acquire) == key.words[w];
      }
      if ((before & 1) != 0 || slot.sequence.load(std::memory_order_relaxed) != before) continue;
      if (same && target != 0 && ms_since(now, since) <= static_cast<std::int32_t>(timeout_ms_)) {
        return unpack(target);
      }
      break;
    }
  }
  return std::nullopt;
}

}  // namespace lb
