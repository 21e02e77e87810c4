// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/flow_key.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>

namespace lb {
namespace {

lb_hash_key random_key(std::mt19937_64& random) { return {random(), random()}; }

TEST(FlowHash, NoDifferenceOfTwoFlowsCollidesUnderEveryKey) {
  std::mt19937_64 random(7);
  // Differences of one or two bits in any words of the key, among them those that cancelled in a
  // plain multiply-mix (bit 63 of the first word, bits 63 and 34 of the second).
  for (int round = 0; round < 2000; ++round) {
    std::array<__u64, 4> words{random(), random(), random(), random()};
    auto other = words;
    if (round % 2 == 0) {
      other[0] ^= 1ULL << 63;
      other[1] ^= 1ULL << 63 ^ 1ULL << 34;
    } else {
      other[random() % 4] ^= 1ULL << random() % 64;
      other[random() % 4] ^= 1ULL << random() % 64;
    }
    if (words == other) continue;
    int collisions = 0;
    for (int k = 0; k < 4; ++k) {
      lb_hash_key key = random_key(random);
      collisions += lb_hash_flow6(words.data(), &words[2], 1, 6, &key) ==
                    lb_hash_flow6(other.data(), &other[2], 1, 6, &key);
    }
    EXPECT_EQ(collisions, 0);
  }
}

TEST(FlowHash, SpreadsNeighbouringFlowsOverAllBits) {
  std::mt19937_64 random(8);
  lb_hash_key key = random_key(random);
  std::array<int, 64> ones{};
  std::set<std::uint32_t> buckets;
  constexpr int kFlows = 20'000;
  for (int i = 0; i < kFlows; ++i) {
    FlowKey4 flow;
    flow.client = Be32::from_host(0x0a000000U + static_cast<std::uint32_t>(i / 100));
    flow.vip = Be32::from_host(0xc000020aU);
    flow.client_port = Be16::from_host(static_cast<std::uint16_t>(1024 + i % 100));
    flow.vip_port = Be16::from_host(80);
    flow.proto = 6;
    std::uint64_t hash = flow_hash(flow, key);
    buckets.insert(static_cast<std::uint32_t>(hash >> 40));
    for (std::size_t bit = 0; bit < 64; ++bit) ones[bit] += static_cast<int>(hash >> bit & 1);
  }
  for (int count : ones) EXPECT_NEAR(count, kFlows / 2.0, kFlows / 20.0);
  EXPECT_GT(buckets.size(), kFlows - 100U) << "20,000 flows in 2^24 buckets meet about 12 times";
}

TEST(FlowHash, SlotsAreEvenlyUsed) {
  std::mt19937_64 random(9);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) {
    ++counts[lb_hash_slot(random(), 0x123456789abcdefULL, counts.size())];
  }
  for (int count : counts) EXPECT_NEAR(count, 10'000, 500);
}

}  // namespace
}  // namespace lb
