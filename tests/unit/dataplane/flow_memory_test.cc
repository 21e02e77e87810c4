// SPDX-License-Identifier: Apache-2.0
// FlowTable over memory that the XDP program reads: its layout, what the kernel saw of a flow, and
// what an earlier table left in it.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>

#include "tests/support/kernel_flows.h"

namespace lb {
namespace {

constexpr lb_hash_key kSecret{0x0123456789abcdef, 0xfedcba9876543210};
constexpr std::uint64_t kOdd = std::uint64_t{1} << LB_STAMP_SEQUENCE_SHIFT;
constexpr std::int32_t kIdleMs = 1000;
constexpr TickMs kDayMs = 86'400'000;
constexpr TickMs kNow = 1'000'000;
constexpr auto kNeverExpired = [](const FlowData&) { return false; };

auto expired_at(TickMs now) {
  return [now](const FlowData& flow) { return ms_since(now, flow.last_seen) > kIdleMs; };
}
auto sweep_at(TickMs now) {
  return [now](const auto&, const FlowData& flow) { return expired_at(now)(flow); };
}

FlowData flow_of(std::uint32_t n, TickMs last_seen = kNow) {
  return {.rs = static_cast<RsId>(n + 1),
          .service = make_service_id(5, 2),
          .last_seen = last_seen,
          .state = FlowState::Established};
}

/// A table over memory, and the kernel's view of it.
template <class Key>
class FlowMemoryOf : public testing::Test {
 protected:
  using Table = FlowTable<Key>;

  static Key key(std::uint32_t n) {
    Key key{};
    key.client_port = Be16::from_host(static_cast<std::uint16_t>(n));
    key.vip_port = Be16::from_host(443);
    key.proto = 17;
    if constexpr (std::is_same_v<Key, FlowKey4>) {
      key.client = Be32::from_host(0x0a000000 + n);
    } else {
      key.client[1] = n;
    }
    return key;
  }
  static std::uint64_t hash(std::uint32_t n) { return flow_hash(key(n), kSecret); }

  /// A table over new memory, or over what the table before left.
  void make(std::uint32_t flows_max) {
    kernel_ = std::make_unique<test::KernelFlows<Key>>(flows_max);
    adopt(flows_max, kNow);
  }
  void adopt(std::uint32_t flows_max, TickMs now) {
    auto table = Table::over(kernel_->memory(), flows_max, now);
    ASSERT_TRUE(table) << table.error().message;
    table_ = std::make_unique<Table>(std::move(*table));
  }
  auto put(std::uint32_t n, const FlowData& flow) {
    return table_->insert(key(n), hash(n), flow, kNeverExpired);
  }
  auto* get(std::uint32_t n) { return table_->find(key(n), hash(n)); }
  auto seen(std::uint32_t n) { return kernel_->find(key(n), hash(n)); }
  std::optional<FlowData> read(std::uint32_t n) { return table_->read(key(n), hash(n)); }

  std::unique_ptr<test::KernelFlows<Key>> kernel_;
  std::unique_ptr<Table> table_;
};
using Keys = testing::Types<FlowKey4, FlowKey6>;
TYPED_TEST_SUITE(FlowMemoryOf, Keys);

static_assert(FlowTable<FlowKey4>::bucket_bytes() == sizeof(lb_flow_bucket4));
static_assert(FlowTable<FlowKey6>::bucket_bytes() == sizeof(lb_flow_bucket6));
static_assert(FlowTable<FlowKey4>::memory_bytes_for(600) == 100 * sizeof(lb_flow_bucket4));
static_assert(FlowTable<FlowKey6>::buckets_for(1) == 2);
static_assert(sizeof(FlowEntry4) == sizeof(lb_flow4) && sizeof(FlowEntry6) == sizeof(lb_flow6));

TYPED_TEST(FlowMemoryOf, LaysAFlowOutAsTheAbiSays) {
  this->make(600);
  FlowData flow = flow_of(7, 0xfffffff0);
  this->put(7, flow);
  auto found = this->seen(7);
  ASSERT_TRUE(found);
  const auto key = this->key(7);
  EXPECT_EQ(std::memcmp(found->flow->key, &key, sizeof key), 0);
  EXPECT_EQ(found->ids, raw(flow.rs) | std::uint64_t{raw(flow.service)} << 32);
  EXPECT_EQ(static_cast<TickMs>(found->stamp), flow.last_seen);
  EXPECT_EQ(static_cast<std::uint8_t>(found->stamp >> LB_STAMP_STATE_SHIFT), LB_FLOW_ESTABLISHED);
  EXPECT_EQ(found->stamp & kOdd, 0U);
  EXPECT_EQ(*found->seen, flow.last_seen);
  EXPECT_EQ(static_cast<void*>(found->flow), this->get(7));
  flow.last_seen = 5;  // past the wrap
  this->table_->update(*this->get(7), flow);
  EXPECT_EQ(static_cast<TickMs>(this->seen(7)->stamp), 5U);
  this->table_->erase(*this->get(7));
  EXPECT_FALSE(this->seen(7));
}

TYPED_TEST(FlowMemoryOf, AFlowThatOnlyTheKernelForwardsDoesNotExpire) {
  this->make(600);
  for (std::uint32_t n = 0; n < 10; ++n) this->put(n, flow_of(n));
  for (TickMs now = kNow; now < kNow + 20 * kIdleMs; now += kIdleMs / 2) {
    this->seen(3)->see(now);
    this->table_->sweep(this->table_->buckets(), sweep_at(now));
    ASSERT_EQ(this->table_->data(*this->get(3)), flow_of(3, now));
    ASSERT_EQ(this->read(3), flow_of(3, now));
    this->table_->read_range(0, this->table_->buckets(), [&](const auto&, const FlowData& flow) {
      ASSERT_EQ(flow.last_seen, flow.rs == flow_of(3).rs ? now : kNow);
    });
  }
  EXPECT_EQ(this->table_->size(), 1U);
  this->table_->sweep(this->table_->buckets(), sweep_at(kNow + 30 * kIdleMs));
  EXPECT_EQ(this->table_->size(), 0U);
}

TYPED_TEST(FlowMemoryOf, AFlowThatOnlyTheKernelForwardsIsNotEvicted) {
  this->make(1);
  std::uint64_t hash = 1;  // of all keys: sixteen share two buckets
  while (lb_flow_other_bucket(0, lb_flow_tag(hash), 2) == 0) ++hash;
  for (std::uint32_t n = 0; n < 16; ++n) {
    this->table_->insert(this->key(n), hash, flow_of(n), kNeverExpired);
  }
  ASSERT_EQ(this->table_->size(), 16U);
  const TickMs now = kNow + 2 * kIdleMs;
  this->kernel_->find(this->key(9), hash)->see(now - 1);
  for (std::uint32_t n = 16; n < 32; ++n) {
    auto inserted = this->table_->insert(this->key(n), hash, flow_of(n, now), expired_at(now));
    ASSERT_TRUE(inserted.replaced);
    // The idlest of the living at last, when all others have been replaced.
    EXPECT_EQ(inserted.evicted.rs == flow_of(9).rs, n == 31);
    EXPECT_EQ(inserted.outcome == InsertOutcome::EvictedAlive, n == 31);
  }
}

TYPED_TEST(FlowMemoryOf, AFlowKeepsWhatTheKernelSawWhenItIsMoved) {
  this->make(600);
  std::map<std::uint32_t, void*> places;
  auto check = [&](std::uint32_t n) { return flow_of(n, kNow + 1000 + n); };
  std::uint32_t moved = 0;
  for (std::uint32_t n = 0; n < 760; ++n) {
    auto inserted = this->put(n, flow_of(n));
    if (inserted.replaced) places.erase(raw(inserted.evicted.rs) - 1);
    places[n] = inserted.entry;
    this->seen(n)->see(kNow + 1000 + n);
  }
  for (auto [n, place] : places) {
    ASSERT_NE(this->get(n), nullptr);
    moved += this->get(n) != place ? 1 : 0;
    ASSERT_EQ(this->table_->data(*this->get(n)), check(n));
    ASSERT_EQ(this->read(n), check(n));
  }
  EXPECT_GT(moved, 20U);
}

TYPED_TEST(FlowMemoryOf, ANewFlowHasNothingOfWhatTheKernelSawBefore) {
  this->make(1);
  this->put(0, flow_of(0));
  auto* place = this->get(0);
  this->seen(0)->see(kNow + 5000);
  this->table_->erase(*place);
  this->put(0, flow_of(0, kNow + 1));
  ASSERT_EQ(this->get(0), place);
  EXPECT_EQ(this->table_->data(*place), flow_of(0, kNow + 1));
  std::uint32_t n = 1;
  for (; this->table_->size() < 16; ++n) this->put(n, flow_of(n));
  for (std::uint32_t i = 0; i < n; ++i) {
    if (auto found = this->seen(i)) found->see(kNow + 5000);
  }
  auto inserted = this->put(n, flow_of(n, kNow + 5001));
  ASSERT_TRUE(inserted.replaced);
  EXPECT_EQ(inserted.evicted.last_seen, kNow + 5000);
  EXPECT_EQ(*this->seen(n)->seen, kNow + 5001);
}

// Ticks of 32 bits compare right for 24 days; a flow may live longer.
TYPED_TEST(FlowMemoryOf, AFlowThatOneSideAloneSeesForWeeksHasItsTickAllTheWhile) {
  this->make(600);
  this->put(0, flow_of(0));
  this->put(1, flow_of(1));
  TickMs now = kNow;
  for (int day = 0; day < 120; ++day) {
    now += kDayMs;
    this->table_->update(*this->get(0), flow_of(0, now));
    this->seen(1)->see(now);
    this->table_->sweep(this->table_->buckets(), sweep_at(now + 1));
    ASSERT_EQ(this->table_->size(), 2U) << day;
    ASSERT_EQ(this->read(0), flow_of(0, now)) << day;
    ASSERT_EQ(this->read(1), flow_of(1, now)) << day;
  }
  this->table_->sweep(this->table_->buckets(), sweep_at(now + kIdleMs + 1));
  EXPECT_EQ(this->table_->size(), 0U);
}

TYPED_TEST(FlowMemoryOf, FindsTheFlowsThatAnEarlierTableLeft) {
  this->make(6000);
  for (std::uint32_t n = 0; n < 4000; ++n) this->put(n, flow_of(n));
  for (std::uint32_t n = 0; n < 4000; n += 3) this->seen(n)->see(kNow + n);
  this->adopt(6000, kNow + 4000);
  EXPECT_EQ(this->table_->size(), 4000U);
  for (std::uint32_t n = 0; n < 4000; ++n) {
    ASSERT_EQ(this->read(n), flow_of(n, n % 3 == 0 ? kNow + n : kNow)) << n;
  }
  for (std::uint32_t n = 0; n < 4000; n += 2) this->table_->erase(*this->get(n));
  for (std::uint32_t n = 4000; n < 5000; ++n) this->put(n, flow_of(n));
  EXPECT_EQ(this->table_->size(), 3000U);
  EXPECT_EQ(this->table_->memory_bytes(), this->kernel_->memory().size());
}

TYPED_TEST(FlowMemoryOf, DropsWhatAWriterLeftHalfWritten) {
  this->make(1);
  for (std::uint32_t n = 0; n < 3; ++n) this->put(n, flow_of(n));
  this->seen(1)->flow->stamp |= kOdd;
  for (auto& flow : this->kernel_->bucket(0).flows) flow.stamp |= flow.stamp == 0 ? kOdd : 0;
  for (auto& flow : this->kernel_->bucket(1).flows) flow.stamp |= flow.stamp == 0 ? kOdd : 0;
  this->adopt(1, kNow);
  EXPECT_EQ(this->table_->size(), 2U);
  EXPECT_EQ(this->get(1), nullptr);
  std::uint32_t n = 10;
  for (; this->table_->size() < 16; ++n) {
    this->put(n, flow_of(n));
    // Readers go by the sequence, and so does the kernel.
    ASSERT_EQ(this->read(n), flow_of(n));
    ASSERT_TRUE(this->seen(n));
  }
  EXPECT_EQ(this->read(0), flow_of(0));
  EXPECT_EQ(this->read(2), flow_of(2));
}

TYPED_TEST(FlowMemoryOf, TakesNoTickForLaterThanNow) {
  this->make(600);
  for (std::uint32_t n = 0; n < 4; ++n) this->put(n, flow_of(n));
  const TickMs late = kNow + kDayMs;
  auto stamp = [&](std::uint32_t n) { this->table_->update(*this->get(n), flow_of(n, late)); };
  stamp(1);
  this->seen(2)->see(late);
  stamp(3);
  this->seen(3)->see(late);
  this->adopt(600, kNow + 1);
  EXPECT_EQ(this->table_->size(), 3U);
  for (std::uint32_t n = 0; n < 3; ++n) EXPECT_EQ(this->read(n), flow_of(n)) << n;
  EXPECT_FALSE(this->read(3));
}

TYPED_TEST(FlowMemoryOf, IsAsGoodAsNewOverAnyMemoryOnceItHasAged) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 20; ++round) {
    this->make(60);
    for (std::byte& byte : this->kernel_->memory()) byte = static_cast<std::byte>(random());
    this->adopt(60, kNow);
    ASSERT_LE(this->table_->size(), this->table_->slots());
    auto visit = [&](const auto&, const FlowData& flow) {
      ASSERT_LE(ms_since(flow.last_seen, kNow), 60'000);
    };
    this->table_->read_range(0, this->table_->buckets(), visit);
    for (std::uint32_t n = 0; n < 200; ++n) {
      if (this->get(n) == nullptr) this->put(n, flow_of(n));
      ASSERT_EQ(this->read(n), flow_of(n)) << n;
    }
    this->table_->sweep(this->table_->buckets(), [](const auto&, const auto&) { return true; });
    ASSERT_EQ(this->table_->size(), 0U);
    for (std::uint32_t n = 0; n < 50; ++n) this->put(n, flow_of(n));
    for (std::uint32_t n = 0; n < 50; ++n) ASSERT_EQ(this->read(n), flow_of(n)) << n;
    ASSERT_EQ(this->table_->size(), 50U);
  }
}

TYPED_TEST(FlowMemoryOf, KeepsAKeyThatStandsTwiceUntilBothHaveAged) {
  this->make(1);
  this->put(0, flow_of(0));
  auto& home =
      this->kernel_->bucket(0).tags[0] != 0 ? this->kernel_->bucket(0) : this->kernel_->bucket(1);
  home.flows[7] = *this->seen(0)->flow;
  home.seen[7] = kNow;
  home.tags[1] |= home.tags[0] << 48;
  this->adopt(1, kNow);
  EXPECT_EQ(this->table_->size(), 2U);
  this->table_->erase(*this->get(0));
  EXPECT_EQ(this->read(0), flow_of(0));
  this->table_->sweep(2, sweep_at(kNow + kIdleMs + 1));
  EXPECT_EQ(this->table_->size(), 0U);
}

TYPED_TEST(FlowMemoryOf, RefusesMemoryThatDoesNotFit) {
  auto memory = *MappedMemory::create(FlowTable<TypeParam>::memory_bytes_for(600) + 64);
  auto error = [&](std::size_t offset, std::size_t bytes, std::uint32_t flows_max) {
    auto table = FlowTable<TypeParam>::over({memory.data() + offset, bytes}, flows_max, kNow);
    EXPECT_TRUE(table || table.error().code.value() == EINVAL);
    return table ? "" : table.error().message;
  };
  const std::size_t bytes = FlowTable<TypeParam>::memory_bytes_for(600);
  EXPECT_EQ(error(0, bytes, 600), "");
  EXPECT_EQ(error(64, bytes, 600), "");
  EXPECT_NE(error(0, bytes - 1, 600).find("600 flows take"), std::string::npos);
  EXPECT_NE(error(0, 0, 600).find("600 flows take"), std::string::npos);
  EXPECT_NE(error(32, bytes, 600).find("aligned"), std::string::npos);
  EXPECT_NE(error(0, bytes, 0).find("flows_max"), std::string::npos);
  EXPECT_NE(error(0, bytes, kFlowsMaxLimit + 1).find("flows_max"), std::string::npos);
}

}  // namespace
}  // namespace lb
