// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/fragments.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "dataplane/packet/parse.h"
#include "tests/support/packet_builder.h"

namespace lb {
namespace {

using test::PacketBuilder;

constexpr lb_hash_key kSecret{1, 2};

FragmentKey key(std::uint32_t id, std::uint64_t source = 1) {
  FragmentKey out;
  out.words[0] = source;
  out.words[4] = id;
  return out;
}
FragmentTarget target(std::uint32_t n) {
  return {static_cast<RsId>(n), static_cast<ServiceId>(n + 1)};
}

FragmentKey key_of(const PacketBuilder& packet) {
  auto bytes = packet.build();
  ParsedPacket parsed;
  parse(bytes.data(), static_cast<std::uint32_t>(bytes.size()), parsed);
  return fragment_key(parsed);
}

TEST(FragmentKey, IsTheSameForAllFragmentsOfADatagramOnly) {
  PacketBuilder four("198.51.100.7", "192.0.2.10");
  auto first = key_of(PacketBuilder(four).id(5).fragment(0, true).udp(1, 2).payload(8));
  auto rest = test::Bytes(8);
  EXPECT_EQ(first, key_of(PacketBuilder(four).id(5).fragment(16, false).protocol(17, rest)));
  EXPECT_NE(first, key_of(PacketBuilder(four).id(6).fragment(16, false).protocol(17, rest)));
  EXPECT_NE(first, key_of(PacketBuilder(four).id(5).fragment(24, false).protocol(6, rest)));
  EXPECT_NE(first, key_of(PacketBuilder("198.51.100.8", "192.0.2.10")
                              .id(5)
                              .fragment(16, false)
                              .protocol(17, rest)));
  PacketBuilder six("2001:db8:1::7", "2001:db8::10");
  auto first6 = key_of(PacketBuilder(six).id(5).fragment(0, true).ext(60).udp(1, 2));
  EXPECT_EQ(first6, key_of(PacketBuilder(six).id(5).fragment(16, false).protocol(17, rest)))
      << "RFC 8200 section 4.5: the next header may differ";
}

TEST(FragmentTable, FindsWhatWasPutUntilItIsTooOld) {
  FragmentTable table(64, 2000, kSecret);
  EXPECT_FALSE(table.read(key(1), 100));
  table.put(key(1), target(7), 100);
  EXPECT_EQ(table.read(key(1), 100), target(7));
  EXPECT_EQ(table.read(key(1), 2100), target(7));
  EXPECT_FALSE(table.read(key(1), 2101));
  EXPECT_FALSE(table.read(key(2), 100));
  EXPECT_FALSE(table.read(key(1, 2), 100));
}

TEST(FragmentTable, TakesTheLatestTargetOfADatagram) {
  FragmentTable table(64, 2000, kSecret);
  table.put(key(1), target(7), 100);
  table.put(key(1), target(8), 1000);
  EXPECT_EQ(table.read(key(1), 3000), target(8));
}

TEST(FragmentTable, ForgetsTheOldestOfAFullBucket) {
  FragmentTable table(1, 2000, kSecret);  // one bucket
  for (std::uint32_t i = 0; i < 8; ++i) table.put(key(i), target(i + 1), 100 + (i + 3) % 8);
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(table.read(key(i), 110), target(i + 1));
  table.put(key(9), target(9), 110);
  EXPECT_FALSE(table.read(key(5), 110)) << "it came at 100";
  for (std::uint32_t i = 0; i < 8; ++i) {
    if (i == 5) continue;
    EXPECT_TRUE(table.read(key(i), 110)) << i;
  }
  EXPECT_EQ(table.read(key(9), 110), target(9));
  table.put(key(10), target(10), 3000);  // all are too old: no eviction of a living one
  table.put(key(11), target(11), 3000);
  EXPECT_TRUE(table.read(key(10), 3000));
  EXPECT_TRUE(table.read(key(11), 3000));
}

TEST(FragmentTable, ForgetsByAgeingBeforeTheTickWraps) {
  FragmentTable table(16, 2000, kSecret);
  table.put(key(1), target(7), 100);
  for (int i = 0; i < 2; ++i) table.age(10'000);
  EXPECT_FALSE(table.read(key(1), 100));
}

TEST(FragmentTable, GivesReadersWholeEntriesOnly) {
  FragmentTable table(1, 2000, kSecret);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (std::uint32_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      std::uint32_t id = i % 32;
      table.put(key(id), target(id + 1), 100);
    }
  });
  std::uint64_t found = 0;
  std::uint64_t wrong = 0;
  // On a busy machine the writer may start late: go on, within a bound, until it was seen at work.
  for (std::uint32_t i = 0; i < 200'000 || (found < 1'000 && i < 500'000'000); ++i) {
    auto got = table.read(key(i % 32), 100);
    if (!got) continue;
    ++found;
    wrong += *got != target(i % 32 + 1);
  }
  stop = true;
  writer.join();
  table.put(key(3), target(4), 100);
  EXPECT_EQ(table.read(key(3), 100), target(4));
  EXPECT_GT(found, 0U);
  EXPECT_EQ(wrong, 0U);
}

TEST(HeldFragments, KeepsTheOrderAndItsBound) {
  HeldFragments held(3);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(held.push({{}, {}, key(i), i}));
  EXPECT_FALSE(held.push({{}, {}, key(3), 3}));
  std::vector<TickMs> taken;
  auto take = [&](const HeldFragment& fragment) { taken.push_back(fragment.since); };
  held.take_if([](const HeldFragment& f) { return f.since != 1; }, take);
  EXPECT_EQ(taken, (std::vector<TickMs>{0, 2}));
  EXPECT_EQ(held.count(), 1U);
  EXPECT_TRUE(held.push({{}, {}, key(4), 4}));
  taken.clear();
  held.take_if([](const HeldFragment&) { return true; }, take);
  EXPECT_EQ(taken, (std::vector<TickMs>{1, 4}));
  EXPECT_FALSE(HeldFragments(0).push({{}, {}, key(4), 4}));
}

}  // namespace
}  // namespace lb
