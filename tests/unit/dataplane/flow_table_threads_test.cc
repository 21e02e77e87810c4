// SPDX-License-Identifier: Apache-2.0
// One owner changes a FlowTable while others read it, and one does as the XDP program will: whole
// entries only, no flow lost on the move, no tick lost. Meant for the tsan preset; it says
// something in every other, too.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <random>
#include <thread>
#include <vector>

#include "dataplane/table/flow_table.h"
#include "tests/support/kernel_flows.h"

namespace lb {
namespace {

constexpr lb_hash_key kSecret{0xabcdef, 0x123457};
constexpr std::uint32_t kVersions = 4;
constexpr auto kNeverExpired = [](const FlowData&) { return false; };

template <class Key>
Key key_of(std::uint32_t n) {
  Key key{};
  key.client_port = Be16::from_host(static_cast<std::uint16_t>(n));
  key.vip_port = Be16::from_host(static_cast<std::uint16_t>(n >> 16));
  key.proto = 6;
  if constexpr (sizeof(Key) == sizeof(FlowKey4)) {
    key.client = Be32::from_host(~n);
  } else {
    key.client[1] = key.vip[0] = ~std::uint64_t{n};
  }
  return key;
}

/// Every field but last_seen follows from rs, and rs from the key: half an entry shows.
FlowData data_of(std::uint32_t n, std::uint32_t version, TickMs last_seen) {
  const std::uint32_t rs = n * kVersions + version + 1;
  return {.rs = static_cast<RsId>(rs),
          .service = static_cast<ServiceId>(~rs),
          .last_seen = last_seen,
          .state = static_cast<FlowState>(rs % 13)};
}

template <class Key>
bool is_whole(const Key& key, const FlowData& flow) {
  const std::uint32_t rs = raw(flow.rs);
  return raw(flow.service) == ~rs && static_cast<std::uint32_t>(flow.state) == rs % 13 &&
         key == key_of<Key>((rs - 1) / kVersions);
}

template <class Key>
class FlowTableThreads : public testing::Test {};
using Keys = testing::Types<FlowKey4, FlowKey6>;
TYPED_TEST_SUITE(FlowTableThreads, Keys);

TYPED_TEST(FlowTableThreads, ACopyOfAnEntryIsWhole) {
  using Entry = FlowEntry<TypeParam>;
  alignas(64) std::byte memory[sizeof(Entry)] = {};
  auto& entry = *reinterpret_cast<Entry*>(memory);
  entry.write(Entry::words_of(key_of<TypeParam>(1)), data_of(1, 0, 0));
  std::atomic<std::uint64_t> copies{0}, torn{0};
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    typename Entry::KeyWords key;
    FlowData flow;
    while (!stop.load(std::memory_order_relaxed)) {
      if (!entry.copy(key, flow)) continue;
      copies.fetch_add(1, std::memory_order_relaxed);
      if (!is_whole(std::bit_cast<TypeParam>(key), flow)) torn.fetch_add(1);
    }
  });
  for (std::uint32_t n = 1; n < 1000000 || (copies.load() < 1000 && n < 100000000); ++n) {
    entry.write(Entry::words_of(key_of<TypeParam>(n)), data_of(n, n % kVersions, n));
  }
  stop = true;
  reader.join();
  EXPECT_EQ(torn.load(), 0U) << "of " << copies.load();
}

TYPED_TEST(FlowTableThreads, ReadersGetWholeEntriesOrNone) {
  using Table = FlowTable<TypeParam>;
  auto table = *Table::create(12);
  constexpr std::uint32_t kKeys = 24;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> hits{0}, torn{0};
  auto by_key = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    while (!stop.load(std::memory_order_relaxed)) {
      const auto key = key_of<TypeParam>(static_cast<std::uint32_t>(random() % kKeys));
      if (auto flow = table.read(key, flow_hash(key, kSecret))) {
        hits.fetch_add(1, std::memory_order_relaxed);
        if (!is_whole(key, *flow)) torn.fetch_add(1, std::memory_order_relaxed);
      }
    }
  };
  auto by_range = [&] {
    while (!stop.load(std::memory_order_relaxed)) {
      std::size_t seen = 0;
      table.read_range(0, table.buckets(), [&](const TypeParam& key, const FlowData& flow) {
        ++seen;
        if (!is_whole(key, flow)) torn.fetch_add(1, std::memory_order_relaxed);
      });
      hits.fetch_add(seen, std::memory_order_relaxed);
      if (seen > table.slots() || table.size() > table.slots()) ++torn;
    }
  };
  std::vector<std::thread> readers;
  readers.emplace_back(by_key, 1);
  readers.emplace_back(by_range);
  std::mt19937_64 random(9);
  for (std::uint32_t step = 0; step < 150000 || (hits.load() < 1000 && step < 100000000); ++step) {
    const auto n = static_cast<std::uint32_t>(random() % kKeys);
    const auto key = key_of<TypeParam>(n);
    const std::uint64_t hash = flow_hash(key, kSecret);
    auto* entry = table.find(key, hash);
    const FlowData data = data_of(n, static_cast<std::uint32_t>(random() % kVersions), step);
    if (entry == nullptr) {
      table.insert(key, hash, data, kNeverExpired);
    } else if (random() % 4 == 0) {
      table.erase(*entry);
    } else {
      table.update(*entry, data);
    }
    if (step % 512 == 0) {
      table.sweep(4, [&](const TypeParam&, const FlowData&) { return random() % 8 == 0; });
    }
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(torn.load(), 0U);
  EXPECT_GT(hits.load(), 0U);
}

TYPED_TEST(FlowTableThreads, ReadersNeverMissAFlowThatIsOnlyMoved) {
  using Table = FlowTable<TypeParam>;
  auto table = *Table::create(600);
  constexpr std::uint32_t kPinned = 40;
  constexpr TickMs kFuture = 1'000'000'000;
  std::vector<typename Table::Entry*> places;
  for (std::uint32_t n = 0; n < kPinned; ++n) {
    const auto key = key_of<TypeParam>(n);
    // Established and never the idlest of sixteen, so never evicted: but moved like any other.
    FlowData pinned = data_of(n, 0, kFuture);
    pinned.state = FlowState::Established;
    places.push_back(table.insert(key, flow_hash(key, kSecret), pinned, kNeverExpired).entry);
  }
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> reads{0}, missed{0};
  std::thread reader([&] {
    for (std::uint32_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      const auto key = key_of<TypeParam>(i % kPinned);
      if (!table.read(key, flow_hash(key, kSecret))) missed.fetch_add(1);
      reads.fetch_add(1, std::memory_order_relaxed);
    }
  });
  std::uint32_t moved = 0;
  for (std::uint32_t n = kPinned; n < 100000 || (reads.load() < 1000 && n < 50000000); ++n) {
    const auto key = key_of<TypeParam>(n);
    auto inserted = table.insert(key, flow_hash(key, kSecret), data_of(n, 0, n), kNeverExpired);
    ASSERT_TRUE(!inserted.replaced || inserted.evicted.last_seen != kFuture);
    if (n % 3 == 0) table.erase(*inserted.entry);
    if (table.size() > 760 || n % 64 == 0) {
      table.sweep(3, [](const TypeParam&, const FlowData& flow) {
        return flow.last_seen != kFuture && flow.last_seen % 2 == 0;
      });
    }
    if (n % 16 != 0) continue;
    const std::uint32_t pinned = n / 16 % kPinned;
    const auto pinned_key = key_of<TypeParam>(pinned);
    auto* now = table.find(pinned_key, flow_hash(pinned_key, kSecret));
    ASSERT_NE(now, nullptr);
    moved += now != places[pinned];
    places[pinned] = now;
  }
  stop = true;
  reader.join();
  EXPECT_EQ(missed.load(), 0U) << "of " << reads.load();
  EXPECT_GT(moved, 20U);
}

/// What the XDP program makes of an entry, from its words alone.
template <class Key>
bool is_whole(const Key& key, std::uint64_t ids, std::uint64_t stamp) {
  return is_whole(
      key,
      {.rs = static_cast<RsId>(static_cast<std::uint32_t>(ids)),
       .service = static_cast<ServiceId>(static_cast<std::uint32_t>(ids >> 32)),
       .last_seen = 0,
       .state = static_cast<FlowState>(static_cast<std::uint8_t>(stamp >> LB_STAMP_STATE_SHIFT))});
}

TYPED_TEST(FlowTableThreads, TheKernelReadsAndWritesBesideTheOwnerAndItsReaders) {
  using Table = FlowTable<TypeParam>;
  const test::KernelFlows<TypeParam> kernel(12);
  auto table = *Table::over(kernel.memory(), 12, 0);
  constexpr std::uint32_t kKeys = 24;
  std::atomic<bool> stop{false};
  std::atomic<TickMs> now{1};
  std::atomic<std::uint64_t> hits{0}, reads{0}, torn{0};
  auto forward = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    while (!stop.load(std::memory_order_relaxed)) {
      const auto key = key_of<TypeParam>(static_cast<std::uint32_t>(random() % kKeys));
      const TickMs tick = now.load(std::memory_order_relaxed);
      const auto found = kernel.find(key, flow_hash(key, kSecret));
      if (!found) continue;
      if (!is_whole(key, found->ids, found->stamp)) torn.fetch_add(1);
      found->see(tick);
      hits.fetch_add(1, std::memory_order_relaxed);
    }
  };
  auto read = [&] {
    while (!stop.load(std::memory_order_relaxed)) {
      table.read_range(0, table.buckets(), [&](const TypeParam& key, const FlowData& flow) {
        reads.fetch_add(1, std::memory_order_relaxed);
        if (!is_whole(key, flow)) torn.fetch_add(1);
      });
    }
  };
  std::vector<std::thread> others;
  others.emplace_back(forward, 1);
  others.emplace_back(forward, 2);  // XDP runs on more CPUs than one
  others.emplace_back(read);
  std::mt19937_64 random(9);
  auto is_done = [&] { return hits.load() >= 1000 && reads.load() >= 1000; };
  for (std::uint32_t step = 1; step < 100000 || (!is_done() && step < 100000000); ++step) {
    now.store(step, std::memory_order_relaxed);
    const auto n = static_cast<std::uint32_t>(random() % kKeys);
    const auto key = key_of<TypeParam>(n);
    const std::uint64_t hash = flow_hash(key, kSecret);
    auto* entry = table.find(key, hash);
    const FlowData data = data_of(n, static_cast<std::uint32_t>(random() % kVersions), step);
    if (entry == nullptr) {
      entry = table.insert(key, hash, data, kNeverExpired).entry;
    } else if (random() % 4 == 0) {
      table.erase(*entry);
      continue;
    } else {
      table.update(*entry, data);
    }
    const FlowData stored = table.data(*entry);
    ASSERT_TRUE(is_whole(key, stored));
    ASSERT_EQ(stored.last_seen, step) << "the kernel's ticks are not later than now";
    if (step % 512 == 0) {
      table.sweep(4,
                  [&](const TypeParam&, const FlowData& flow) { return flow.last_seen % 8 == 0; });
    }
  }
  stop = true;
  for (auto& other : others) other.join();
  EXPECT_EQ(torn.load(), 0U);
  EXPECT_GT(hits.load(), 0U);
}

// While nothing but the kernel forwards the flows, the owner moves them about and sweeps: it never
// takes one for idle.
TYPED_TEST(FlowTableThreads, WhatTheKernelSeesIsKeptOnTheMove) {
  using Table = FlowTable<TypeParam>;
  const test::KernelFlows<TypeParam> kernel(600);
  auto table = *Table::over(kernel.memory(), 600, 0);
  constexpr std::uint32_t kPinned = 40;
  constexpr std::int32_t kIdle = 800;
  for (std::uint32_t n = 0; n < kPinned; ++n) {
    const auto key = key_of<TypeParam>(n);
    FlowData pinned = data_of(n, 0, 1);
    pinned.state = FlowState::Established;
    table.insert(key, flow_hash(key, kSecret), pinned, kNeverExpired);
  }
  std::atomic<bool> stop{false};
  std::atomic<TickMs> now{1};
  std::atomic<std::uint64_t> turns{0};
  std::thread forwards([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      for (std::uint32_t n = 0; n < kPinned; ++n) {
        const auto key = key_of<TypeParam>(n);
        // While it is moved, the XDP program may miss a flow: it hands the packet over then.
        if (auto found = kernel.find(key, flow_hash(key, kSecret))) {
          found->see(now.load(std::memory_order_relaxed));
        }
      }
      turns.fetch_add(1);
    }
  });
  std::uint64_t turn = 0;
  auto is_done = [&] { return turns.load() >= 100; };
  for (std::uint32_t n = kPinned, tick = 1; n < 60000 || (!is_done() && n < 50000000); ++n) {
    // A step of time after a whole turn of the kernel's: then no flow may look idle for long.
    if (const std::uint64_t at = turns.load(); at > turn + 1) {
      turn = at;
      tick += 100;
      now.store(tick, std::memory_order_relaxed);
    }
    const auto key = key_of<TypeParam>(n);
    FlowData data = data_of(n, 0, tick);
    data.state = FlowState::SynRecv;
    auto idle = [&](const FlowData& flow) {
      return flow.state == FlowState::Established && ms_since(tick, flow.last_seen) > kIdle;
    };
    auto inserted = table.insert(key, flow_hash(key, kSecret), data, idle);
    ASSERT_NE(inserted.outcome, InsertOutcome::EvictedIdle);
    if (n % 3 == 0) table.erase(*inserted.entry);
    if (table.size() > 760 || n % 64 == 0) {
      table.sweep(3, [&](const TypeParam&, const FlowData& flow) {
        return idle(flow) || (flow.state == FlowState::SynRecv && raw(flow.rs) % 2 == 0);
      });
    }
  }
  stop = true;
  forwards.join();
  for (std::uint32_t n = 0; n < kPinned; ++n) {
    const auto key = key_of<TypeParam>(n);
    EXPECT_NE(table.find(key, flow_hash(key, kSecret)), nullptr) << n;
  }
}

}  // namespace
}  // namespace lb
