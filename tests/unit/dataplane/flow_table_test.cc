// SPDX-License-Identifier: Apache-2.0
// FlowTable at its edges, against a model, at three quarters load, and its size.
#include "dataplane/table/flow_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <unordered_map>
#include <vector>

namespace lb {
namespace {

constexpr lb_hash_key kSecret{0x0123456789abcdef, 0xfedcba9876543210};

FlowKey4 key4(std::uint32_t n) {
  FlowKey4 key;
  key.client = Be32::from_host(0x0a000000 + n);
  key.vip = Be32::from_host(0xc0000201);
  key.client_port = Be16::from_host(static_cast<std::uint16_t>(1024 + n % 50000));
  key.vip_port = Be16::from_host(80);
  key.proto = 6;
  return key;
}

FlowKey6 key6(std::uint32_t n) {
  FlowKey6 key;
  key.client[0] = 0xb80d0120;
  key.client[1] = n;
  key.vip[0] = 0xb80d0120;
  key.vip[1] = 1;
  key.client_port = Be16::from_host(static_cast<std::uint16_t>(n));
  key.vip_port = Be16::from_host(443);
  key.proto = 17;
  return key;
}

template <class Key>
Key make_key(std::uint32_t n) {
  if constexpr (sizeof(Key) == sizeof(FlowKey4)) {
    return key4(n);
  } else {
    return key6(n);
  }
}

FlowData flow(std::uint32_t rs, TickMs last_seen = 1000) {
  return {.rs = make_rs_id(rs & 0xffff, 1),
          .service = make_service_id(1, 1),
          .last_seen = last_seen,
          .state = FlowState::Established};
}

constexpr auto kNeverExpired = [](const FlowData&) { return false; };
constexpr auto kAlwaysExpired = [](const FlowData&) { return true; };

template <class Key>
typename FlowTable<Key>::Inserted put(FlowTable<Key>& table, std::uint32_t n,
                                      const FlowData& data) {
  const Key key = make_key<Key>(n);
  return table.insert(key, flow_hash(key, kSecret), data, kNeverExpired);
}

template <class Key>
typename FlowTable<Key>::Entry* get(FlowTable<Key>& table, std::uint32_t n) {
  const Key key = make_key<Key>(n);
  return table.find(key, flow_hash(key, kSecret));
}

template <class Key>
class FlowTableOf : public testing::Test {};
using Keys = testing::Types<FlowKey4, FlowKey6>;
TYPED_TEST_SUITE(FlowTableOf, Keys);

TEST(TagGroup, MatchesAsItsPortableTwin) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    TagGroup group{random(), random()};
    auto tag = group.at(static_cast<unsigned>(random() % 8));
    if (i % 3 == 0) tag = static_cast<std::uint16_t>(random());
    if (i % 5 == 0) group.low &= 0xffff0000ffffULL;
    ASSERT_EQ(group.match(tag), group.match_portable(tag));
    ASSERT_EQ(group.empty(), group.match_portable(0));
  }
  EXPECT_EQ((TagGroup{0x0001000200010003, 0xffff000000000001}.match(1)), 0b11010U);
}

TEST(FlowTable, RefusesSizesBeyondItsLimits) {
  EXPECT_FALSE(FlowTable<FlowKey4>::create(0));
  auto too_many = FlowTable<FlowKey4>::create(kFlowsMaxLimit + 1);
  ASSERT_FALSE(too_many);
  EXPECT_NE(too_many.error().message.find("flows_max"), std::string::npos);
}

TYPED_TEST(FlowTableOf, IsEmptyAtFirst) {
  auto table = *FlowTable<TypeParam>::create(100);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(get(table, 1), nullptr);
  const TypeParam zero{};
  EXPECT_EQ(table.find(zero, 0), nullptr);
  EXPECT_FALSE(table.read(zero, 0));
  int seen = 0;
  table.read_range(0, table.buckets(), [&](const TypeParam&, const FlowData&) { ++seen; });
  table.sweep(table.buckets(), [&](const TypeParam&, const FlowData&) { return ++seen, true; });
  EXPECT_EQ(seen, 0);
}

TYPED_TEST(FlowTableOf, KeepsUpdatesAndForgetsOneFlow) {
  auto table = *FlowTable<TypeParam>::create(1);
  auto inserted = put(table, 7, flow(3, 5));
  EXPECT_EQ(inserted.outcome, InsertOutcome::Inserted);
  EXPECT_FALSE(inserted.replaced);
  auto* entry = get(table, 7);
  ASSERT_EQ(entry, inserted.entry);
  EXPECT_EQ(table.data(*entry), flow(3, 5));
  EXPECT_EQ(FlowTable<TypeParam>::key(*entry), make_key<TypeParam>(7));
  EXPECT_EQ(get(table, 8), nullptr);
  FlowData changed = flow(4, 0xffffffff);
  changed.state = FlowState::FinWait;
  table.update(*entry, changed);
  EXPECT_EQ(table.data(*get(table, 7)), changed);
  changed.last_seen = 3;
  table.update(*entry, changed);
  const auto key = make_key<TypeParam>(7);
  EXPECT_EQ(table.read(key, flow_hash(key, kSecret)), changed);
  EXPECT_EQ(table.size(), 1U);
  table.erase(*entry);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(get(table, 7), nullptr);
  EXPECT_FALSE(table.read(key, flow_hash(key, kSecret)));
}

TYPED_TEST(FlowTableOf, FillsEverySlotBeforeItEvicts) {
  // With two buckets every key has both, so sixteen flows fit whatever their hashes (bar a pair
  // that coincides, which the keys here avoid by choice of tag).
  auto table = *FlowTable<TypeParam>::create(12);
  ASSERT_EQ(table.buckets(), 2U);
  ASSERT_EQ(table.slots(), 16U);
  std::set<typename FlowTable<TypeParam>::Entry*> slots;
  for (std::uint32_t n = 0; slots.size() < 16; ++n) {
    ASSERT_LT(n, 10000U);
    auto inserted = put(table, n, flow(n, n));
    slots.insert(inserted.entry);
  }
  EXPECT_EQ(table.size(), 16U);
}

TYPED_TEST(FlowTableOf, ReplacesTheIdlestWhenFull) {
  auto table = *FlowTable<TypeParam>::create(12);
  std::uint32_t n = 0;
  const TickMs start = 0xfffffff0;  // the tick wraps on the way
  while (table.size() < 16) {
    ASSERT_LT(n, 10000U);
    put(table, n, flow(n, start + n));
    ++n;
  }
  std::vector<TickMs> last_seen;
  table.read_range(
      0, 2, [&](const TypeParam&, const FlowData& data) { last_seen.push_back(data.last_seen); });
  const TickMs now = start + n;
  for (int i = 0; i < 100; ++i, ++n) {
    auto inserted = put(table, n, flow(n, now));
    EXPECT_EQ(inserted.outcome, InsertOutcome::EvictedAlive);
    ASSERT_TRUE(inserted.replaced);
    EXPECT_EQ(table.size(), 16U);
    EXPECT_EQ(table.data(*get(table, n)), flow(n, now));
  }
  const auto key = make_key<TypeParam>(n);
  auto idle = table.insert(key, flow_hash(key, kSecret), flow(n, now), kAlwaysExpired);
  EXPECT_EQ(idle.outcome, InsertOutcome::EvictedIdle);
  EXPECT_TRUE(idle.replaced);
}

TYPED_TEST(FlowTableOf, PrefersTheIdlestOfTheExpired) {
  auto table = *FlowTable<TypeParam>::create(12);
  // One key again and again under new clients but the same hash: all sixteen share both buckets.
  const std::uint64_t hash = [&] {
    for (std::uint64_t h = 1;; ++h) {
      auto probe = *FlowTable<TypeParam>::create(12);
      for (std::uint32_t n = 0; n < 16; ++n) {
        probe.insert(make_key<TypeParam>(n), h, flow(n), kNeverExpired);
      }
      if (probe.size() == 16) return h;
    }
  }();
  for (std::uint32_t n = 0; n < 16; ++n) {
    FlowData data = flow(n, 1000 - n);
    if (n % 4 == 1) data.state = FlowState::Close;
    table.insert(make_key<TypeParam>(n), hash, data, kNeverExpired);
  }
  auto closed = [](const FlowData& data) { return data.state == FlowState::Close; };
  std::vector<std::uint32_t> victims;
  for (std::uint32_t n = 100; n < 106; ++n) {
    auto inserted = table.insert(make_key<TypeParam>(n), hash, flow(n, 2000), closed);
    ASSERT_TRUE(inserted.replaced);
    EXPECT_EQ(inserted.outcome == InsertOutcome::EvictedIdle,
              inserted.evicted.state == FlowState::Close);
    victims.push_back(slot_of(inserted.evicted.rs));
  }
  EXPECT_EQ(victims, (std::vector<std::uint32_t>{13, 9, 5, 1, 15, 14}));
}

// A SYN flood fills the table with the freshest of flows: they make room for each other.
TYPED_TEST(FlowTableOf, EvictsHalfOpenFlowsBeforeEstablishedOnes) {
  auto table = *FlowTable<TypeParam>::create(12);
  std::uint32_t n = 0;
  std::uint32_t kept = 0;
  constexpr FlowState kStates[] = {FlowState::Established, FlowState::SynRecv, FlowState::Udp,
                                   FlowState::Close,       FlowState::Sctp,    FlowState::None};
  while (table.size() < 16) {
    ASSERT_LT(n, 10000U);
    FlowData data = flow(n, 1000 + n);
    data.state = kStates[n % 6];
    auto inserted = put(table, n, data);
    kept += is_active(data.state) ? 1 : 0;
    if (inserted.replaced && is_active(inserted.evicted.state)) --kept;
    ++n;
  }
  ASSERT_GT(kept, 0U);
  ASSERT_LT(kept, 16U);
  for (int i = 0; i < 1000; ++i, ++n) {
    FlowData syn = flow(n, 5000 + n);
    syn.state = FlowState::SynRecv;
    auto inserted = put(table, n, syn);
    EXPECT_EQ(inserted.outcome, InsertOutcome::EvictedAlive);
    EXPECT_FALSE(is_active(inserted.evicted.state)) << i;
  }
  std::uint32_t active = 0;
  table.read_range(0, 2, [&](const TypeParam&, const FlowData& data) {
    active += is_active(data.state) ? 1 : 0;
  });
  EXPECT_EQ(active, kept);
}

/// Random operations on the table and on a map: the same flows afterwards, bar those that insert()
/// said it evicted.
template <class Key>
void compare_with_model(std::uint32_t flows_max, std::uint32_t keys, std::uint64_t seed) {
  auto table = *FlowTable<Key>::create(flows_max);
  std::unordered_map<std::uint32_t, FlowData> model;
  std::map<RsId, std::uint32_t>
      by_rs;  // every flow has its own RS, so that an eviction names its key
  std::mt19937_64 random(seed);
  for (int step = 0; step < 60000; ++step) {
    const auto n = static_cast<std::uint32_t>(random() % keys);
    auto* entry = get(table, n);
    ASSERT_EQ(entry != nullptr, model.contains(n)) << step;
    FlowData data = flow(n, static_cast<TickMs>(step));
    data.rs = static_cast<RsId>(n + 1);
    if (entry == nullptr) {
      auto inserted = put(table, n, data);
      if (inserted.replaced) {
        ASSERT_EQ(model.erase(raw(inserted.evicted.rs) - 1), 1U);
      }
      model[n] = data;
      continue;
    }
    ASSERT_EQ(table.data(*entry), model[n]);
    if (random() % 3 == 0) {
      table.erase(*entry);
      model.erase(n);
    } else {
      data.state = static_cast<FlowState>(random() % 13);
      table.update(*entry, data);
      model[n] = data;
    }
    if (step % 1000 == 0) {
      table.sweep(3, [&](const Key& key, const FlowData& seen) {
        auto at = raw(seen.rs) - 1;
        EXPECT_EQ(key, make_key<Key>(at));
        return model.erase(at) == 1;
      });
    }
  }
  ASSERT_EQ(table.size(), model.size());
  std::size_t seen = 0;
  table.read_range(0, table.buckets(), [&](const Key& key, const FlowData& data) {
    auto n = raw(data.rs) - 1;
    EXPECT_EQ(key, make_key<Key>(n));
    EXPECT_EQ(model.at(n), data);
    EXPECT_EQ(table.read(key, flow_hash(key, kSecret)), data);
    ++seen;
  });
  EXPECT_EQ(seen, model.size());
}

TYPED_TEST(FlowTableOf, DoesAsAMapDoes) {
  compare_with_model<TypeParam>(10000, 9000, 1);
  compare_with_model<TypeParam>(3000, 9000, 2);  // far past full
  compare_with_model<TypeParam>(20, 60, 3);
  compare_with_model<TypeParam>(1, 40, 4);
}

TYPED_TEST(FlowTableOf, SweepVisitsEachFlowOnceATurnAndErasesWhatItIsTold) {
  auto table = *FlowTable<TypeParam>::create(6000);
  for (std::uint32_t n = 0; n < 4000; ++n) put(table, n, flow(n));
  std::set<std::uint32_t> seen;
  for (std::uint32_t done = 0; done < table.buckets(); done += 100) {
    table.sweep(std::min(100U, table.buckets() - done),
                [&](const TypeParam&, const FlowData& data) {
                  EXPECT_TRUE(seen.insert(slot_of(data.rs)).second);
                  return slot_of(data.rs) % 2 == 0;
                });
  }
  EXPECT_EQ(seen.size(), 4000U);
  EXPECT_EQ(table.size(), 2000U);
  for (std::uint32_t n = 0; n < 4000; ++n) ASSERT_EQ(get(table, n) != nullptr, n % 2 == 1);
  int visits = 0;
  table.sweep(0xffffffff, [&](const TypeParam&, const FlowData&) { return ++visits, true; });
  EXPECT_EQ(visits, 2000);
  EXPECT_EQ(table.size(), 0U);
}

/// Fills to flows_max, then replaces a random flow many times over: the load stays at three
/// quarters while the buckets grow as uneven as they ever will.
TEST(FlowTable, EvictsFewerThanOneLivingFlowIn10000AtFlowsMax) {
  const std::uint32_t flows_max = 60000;
  auto table = *FlowTable<FlowKey4>::create(flows_max);
  std::mt19937_64 random(42);
  std::vector<std::uint32_t> living;
  std::uint32_t next = 0, inserts = 0, evictions = 0;
  auto insert = [&] {
    ++inserts;
    auto inserted = put(table, next, flow(next, next));
    evictions += inserted.outcome == InsertOutcome::EvictedAlive;
    return next++;
  };
  while (living.size() < flows_max) living.push_back(insert());
  EXPECT_EQ(evictions, 0U) << "while filling";
  for (std::uint32_t turn = 0; turn < 10 * flows_max; ++turn) {
    auto& victim = living[random() % living.size()];
    if (auto* entry = get(table, victim)) table.erase(*entry);
    victim = insert();
  }
  EXPECT_GE(table.size() + evictions, flows_max);
  EXPECT_LT(std::uint64_t{evictions} * 10000, inserts) << evictions << " of " << inserts;
  RecordProperty("evictions", static_cast<int>(evictions));
}

TEST(FlowTable, Takes54BytesAFlowForIpv4And96ForIpv6) {
  static_assert(FlowTable<FlowKey4>::memory_bytes_for(1'048'576) <= 54 * 1'048'576UL);
  static_assert(FlowTable<FlowKey6>::memory_bytes_for(1'048'578) == 96 * 1'048'578UL);
  const std::size_t page = 4096;
  for (std::uint32_t flows_max : {65'536U, 100'000U, 262'144U}) {
    auto v4 = *FlowTable<FlowKey4>::create(flows_max, false);
    auto v6 = *FlowTable<FlowKey6>::create(flows_max, false);
    EXPECT_LE(v4.memory_bytes(), 54UL * flows_max + page);
    EXPECT_LE(v6.memory_bytes(), 96UL * flows_max + v6.bucket_bytes() + page);
    EXPECT_EQ(v4.slots() / 8, (flows_max + 5) / 6);
  }
}

TEST(FlowTable, MovesAsAWhole) {
  auto table = *FlowTable<FlowKey4>::create(100);
  put(table, 1, flow(9));
  FlowTable<FlowKey4> other = std::move(table);
  ASSERT_NE(get(other, 1), nullptr);
  EXPECT_EQ(other.data(*get(other, 1)), flow(9));
  EXPECT_EQ(other.size(), 1U);
}

}  // namespace
}  // namespace lb
