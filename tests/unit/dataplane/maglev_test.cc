// SPDX-License-Identifier: Apache-2.0
// Maglev arrays: the check value, shares, disruption.
#include "dataplane/table/maglev.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "bpf/lb_abi.h"

namespace lb {
namespace {

using Table = std::vector<std::uint16_t>;

std::vector<MaglevBackend> backends(std::size_t count, std::uint64_t seed = 1) {
  std::vector<MaglevBackend> made(count);
  for (std::size_t i = 0; i < count; ++i) {
    made[i].offset_hash = lb_mix64(seed * 1000003 + 2 * i + 1);
    made[i].skip_hash = lb_mix64(seed * 1000003 + 2 * i + 2);
  }
  return made;
}

std::vector<std::uint32_t> counts(const Table& table, std::size_t size) {
  std::vector<std::uint32_t> count(size);
  for (auto i : table) ++count.at(i);
  return count;
}

/// Slots that lead to another backend, of those whose backend is in both.
std::size_t moved(const Table& before, const Table& after, std::uint16_t gone) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < before.size(); ++i) n += before[i] != gone && before[i] != after[i];
  return n;
}

TEST(Maglev, GivesTheCheckValue) {
  // skip = hash mod (M - 1) + 1
  std::vector<MaglevBackend> three{{3, 3, 1}, {0, 1, 1}, {3, 0, 1}};
  EXPECT_EQ(*build_maglev(three, 7), (Table{1, 0, 1, 0, 2, 2, 0}));
  three[1].weight = 0;
  EXPECT_EQ(*build_maglev(three, 7), (Table{0, 0, 0, 0, 2, 2, 2}));
  for (auto& backend : three) backend.weight = backend.weight == 0 ? 0 : 500;
  EXPECT_EQ(*build_maglev(three, 7), (Table{0, 0, 0, 0, 2, 2, 2}));
}

/// Eisenbud et al., pseudocode 1, as printed.
Table as_published(const std::vector<MaglevBackend>& of, std::uint32_t slots) {
  std::vector<std::uint64_t> next(of.size());
  Table entry(slots, 0xffff);
  for (std::uint32_t n = 0;;) {
    for (std::size_t i = 0; i < of.size(); ++i) {
      std::uint64_t c = 0;
      do {
        c = (of[i].offset_hash % slots + next[i]++ * (of[i].skip_hash % (slots - 1) + 1)) % slots;
      } while (entry[c] != 0xffff);
      entry[c] = static_cast<std::uint16_t>(i);
      if (++n == slots) return entry;
    }
  }
}

TEST(Maglev, IsThePublishedAlgorithmForEqualWeights) {
  for (std::uint32_t slots : {2U, 3U, 5U, 251U, 4099U}) {
    for (std::size_t count : {1UL, 2UL, 3UL, 5UL, 17UL, 100UL}) {
      if (count > slots) continue;
      auto of = backends(count, count);
      for (auto& backend : of) backend.weight = 7;
      EXPECT_EQ(*build_maglev(of, slots), as_published(of, slots)) << slots << ' ' << count;
    }
  }
}

TEST(Maglev, SharesSlotsByWeightToWithinOne) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    auto of = backends(1 + random() % 40, random());
    const std::uint32_t slots = round % 2 != 0 ? 65537 : 251;
    std::uint64_t total = 0;
    for (auto& backend : of) {
      backend.weight = static_cast<std::uint32_t>(random() % (round % 3 == 0 ? 4 : 65536));
      total += backend.weight;
    }
    if (total == 0) continue;
    auto table = build_maglev(of, slots);
    ASSERT_TRUE(table) << table.error().message;
    auto count = counts(*table, of.size());
    for (std::size_t i = 0; i < of.size(); ++i) {
      const double share = static_cast<double>(slots) * of[i].weight / static_cast<double>(total);
      ASSERT_LT(std::abs(count[i] - share), 1.0) << i;
      ASSERT_TRUE(of[i].weight != 0 || count[i] == 0);
    }
  }
}

TEST(Maglev, StandsTheLargestWeightsAndSizes) {
  std::vector<MaglevBackend> of = backends(300);
  for (auto& backend : of) backend.weight = 1;
  of[7].weight = 0xffffffff;
  auto count = counts(*build_maglev(of, 4099), of.size());
  EXPECT_EQ(count[7], 4099U);
  for (auto& backend : of) backend.weight = 0xffffffff;
  EXPECT_EQ(counts(*build_maglev(of, 4099), of.size())[299], 4099U / 300);
  EXPECT_TRUE(build_maglev(backends(251), 251));
  EXPECT_TRUE(is_prime(kMaglevSlotsMax));
}

TEST(Maglev, MovesFewSlotsThatNeedNotMove) {
  const std::uint32_t slots = 65537;
  for (std::size_t count : {3UL, 10UL, 100UL}) {
    auto of = backends(count, 9);
    auto before = *build_maglev(of, slots);
    of[count / 2].weight = 0;
    auto after = *build_maglev(of, slots);
    const auto gone = static_cast<std::uint16_t>(count / 2);
    const std::size_t needless = moved(before, after, gone);
    EXPECT_LT(needless, slots * 3 / 100) << count;  // the paper, figure 12: 1 to 2 % at M = 65537
    for (auto i : after) ASSERT_NE(i, gone);
  }
}

TEST(Maglev, MovesFewSlotsWhenAWeightChanges) {
  const std::uint32_t slots = 65537;
  auto of = backends(20, 11);
  for (std::size_t i = 0; i < of.size(); ++i) of[i].weight = static_cast<std::uint32_t>(1 + i % 5);
  auto before = *build_maglev(of, slots);
  auto counted = counts(before, of.size());
  of[4].weight = 4;
  auto after = *build_maglev(of, slots);
  const auto now = counts(after, of.size());
  std::uint32_t needed = 0;
  for (std::size_t i = 0; i < of.size(); ++i)
    needed += counted[i] > now[i] ? counted[i] - now[i] : 0;
  EXPECT_LT(moved(before, after, 0xffff), needed + slots * 5 / 100);
}

TEST(Maglev, SpreadsAWeightOverTheWholeArray) {
  // Any eighth of the slots carries the same shares: nobody sits at the front.
  auto of = backends(4, 5);
  of[0].weight = 10;
  auto table = *build_maglev(of, 65537);
  for (std::size_t part = 0; part < 8; ++part) {
    Table eighth(table.begin() + static_cast<long>(part * 8192),
                 table.begin() + static_cast<long>((part + 1) * 8192));
    auto count = counts(eighth, 4);
    EXPECT_NEAR(count[0], 8192 * 10 / 13.0, 250);
    EXPECT_NEAR(count[3], 8192 / 13.0, 120);
  }
}

TEST(Maglev, RefusesWhatCannotBe) {
  EXPECT_NE(build_maglev(backends(2), 65536).error().message.find("prime"), std::string::npos);
  EXPECT_FALSE(build_maglev(backends(2), 0));
  EXPECT_FALSE(build_maglev(backends(1), 1));
  EXPECT_FALSE(build_maglev(backends(2), 16777259));  // the next prime above the limit
  EXPECT_FALSE(build_maglev({}, 7));
  EXPECT_FALSE(build_maglev(backends(8), 7));
  EXPECT_FALSE(build_maglev(backends(65536), 65537));
  std::vector<MaglevBackend> idle = backends(3);
  for (auto& backend : idle) backend.weight = 0;
  EXPECT_FALSE(build_maglev(idle, 7));
}

TEST(Maglev, KnowsPrimes) {
  for (std::uint32_t n : {2U, 3U, 5U, 7U, 65537U, 4294967291U}) EXPECT_TRUE(is_prime(n)) << n;
  for (std::uint32_t n : {0U, 1U, 4U, 9U, 65536U, 65535U, 4294967295U}) EXPECT_FALSE(is_prime(n));
}

}  // namespace
}  // namespace lb
