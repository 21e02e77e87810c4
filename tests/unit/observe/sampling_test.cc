// SPDX-License-Identifier: Apache-2.0
// The sampler (bpf/observe_sample.h, the code that runs in the kernel) and the estimates from what
// it takes.
#include "observe/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "bpf/observe_sample.h"

namespace lb::observe {
namespace {

constexpr double kInterval = 512 * 1024;

TEST(ObserveExponential, IsTheLogarithmToSixDigits) {
  std::mt19937_64 random(1);
  std::vector<std::uint32_t> inputs = {1,          2,          3,          0x7fffffff,
                                       0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};
  for (int i = 0; i < 100'000; ++i) {
    inputs.push_back(static_cast<std::uint32_t>(random() >> (32 + i % 32)) | 1U);
  }
  for (const std::uint32_t u : inputs) {
    const double got = static_cast<double>(observe_exponential(u)) / (1 << OBSERVE_SAMPLE_FRACTION);
    EXPECT_NEAR(got, -std::log(u / 4294967296.0), 1e-6) << u;
  }
}

TEST(ObserveDistance, IsAtLeastOneByteAndHasTheMeanOfItsInterval) {
  __u64 state = observe_seed(7);
  for (const std::uint64_t interval : {1ULL, 4095ULL, 512ULL << 10, OBSERVE_SAMPLE_INTERVAL_MAX}) {
    double sum = 0;
    constexpr int kDraws = 200'000;
    for (int i = 0; i < kDraws; ++i) {
      const std::uint64_t distance = observe_distance(&state, interval);
      ASSERT_GE(distance, 1U);
      sum += static_cast<double>(distance);
    }
    // The mean of 1 + floor(exponential) is 1 / (1 - exp(-1 / interval)).
    const double mean = 1 / sample_chance(1, static_cast<double>(interval));
    EXPECT_NEAR(sum / kDraws / mean, 1.0, 0.02) << interval;
  }
}

TEST(ObserveSampler, TakesABlockWithTheChanceOfItsBytes) {
  for (const std::uint64_t bytes : {8ULL, 4096ULL, 65536ULL, 524288ULL, 4194304ULL}) {
    observe_sampler sampler{};
    const int tries = bytes < 4096 ? 20'000'000 : 400'000;
    int taken = 0;
    for (int i = 0; i < tries; ++i) taken += observe_sampler_take(&sampler, bytes, 524288, 3);
    const double expected = tries * sample_chance(static_cast<double>(bytes), kInterval);
    EXPECT_NEAR(taken, expected, 5 * std::sqrt(expected)) << bytes;
  }
}

TEST(ObserveSampler, IsTheSameForTheSameSeed) {
  observe_sampler a{};
  observe_sampler b{};
  observe_sampler other{};
  int differences = 0;
  for (int i = 0; i < 10'000; ++i) {
    const int first = observe_sampler_take(&a, 1000, 4096, 11);
    EXPECT_EQ(first, observe_sampler_take(&b, 1000, 4096, 11));
    differences += first != observe_sampler_take(&other, 1000, 4096, 12);
  }
  EXPECT_GT(differences, 1000);
}

TEST(Garwood, IsTheExactIntervalOfPublishedTables) {
  // Garwood 1936; Ulm 1990, table 1.
  const std::vector<std::array<double, 3>> table = {
      {0, 0, 3.69}, {1, 0.03, 5.57}, {5, 1.62, 11.67}, {10, 4.80, 18.39}, {100, 81.36, 121.63}};
  for (const auto& [count, low, high] : table) {
    const Value got = garwood(count);
    EXPECT_EQ(got.value, count);
    EXPECT_NEAR(got.low, low, 5e-3) << count;
    EXPECT_NEAR(got.high, high, 5e-3) << count;
  }
}

TEST(Garwood, OfManyCountsGoesOnWithoutAStep) {
  const Value below = garwood(10'000);
  const Value above = garwood(10'001);
  EXPECT_NEAR(above.low - below.low, 1, 0.02);
  EXPECT_NEAR(above.high - below.high, 1, 0.02);
  for (const double count : {1e5, 1e7, 1e10, 1e14}) {
    const Value many = garwood(count);
    EXPECT_NEAR((count - many.low) / std::sqrt(count), 1.96, 0.02) << count;
    EXPECT_NEAR((many.high - count) / std::sqrt(count), 1.96, 0.02) << count;
  }
}

TEST(Estimate, OfNothingIsExactlyNothing) { EXPECT_EQ(estimate({}, Weigh::Bytes), Value(0)); }

TEST(Estimate, IsExactWithoutSampling) {
  const std::vector<Sampled> blocks = {{100, 0, 7}, {8, 0, 1}};
  EXPECT_EQ(estimate(blocks, Weigh::Bytes), Value(708));
  EXPECT_EQ(estimate(blocks, Weigh::Blocks), Value(8));
}

TEST(Estimate, OfZeroSamplesReachesToTheBytesThatMayHideThere) {
  const std::vector<Sampled> blocks = {{64, kInterval, 0}};
  const Value bytes = estimate(blocks, Weigh::Bytes);
  EXPECT_EQ(bytes.value, 0);
  EXPECT_EQ(bytes.low, 0);
  EXPECT_NEAR(bytes.high, 3.6889 * kInterval, 100);
  EXPECT_NEAR(estimate(blocks, Weigh::Blocks).high, 3.6889 * kInterval / 64, 1);
}

TEST(Estimate, OfBlocksFarLargerThanTheIntervalIsNearlyExact) {
  const std::vector<Sampled> blocks = {{100 * kInterval, kInterval, 10}};
  const Value bytes = estimate(blocks, Weigh::Bytes);
  EXPECT_DOUBLE_EQ(bytes.value, 1000 * kInterval);
  EXPECT_DOUBLE_EQ(bytes.low, 1000 * kInterval);
  EXPECT_LT(bytes.high, 1004 * kInterval);
}

TEST(Estimate, NeverFallsBelowWhatWasSeen) {
  const std::vector<Sampled> blocks = {{kInterval, kInterval, 1}};
  EXPECT_EQ(estimate(blocks, Weigh::Blocks).low, 1);
}

/// One call stack of a made-up program: blocks of some sizes, some of them freed.
struct Site {
  std::vector<std::uint64_t> sizes;
  int blocks;
  double kept;
};

const std::vector<Site> kSites = {
    {{8, 16, 24, 32, 4096}, 12'000, 1.0},  // small ones of all sizes
    {{64}, 30'000, 0.1},                   // most are freed
    {{1024, 3000}, 10'000, 0.5},
    {{100'000, 200'000, 800'000, 5'000'000}, 60, 1.0},  // about as large as the interval
    {{50'000'000}, 3, 1.0},
    {{128}, 800, 1.0},  // mostly no sample at all
    {{16, 1'000'000}, 2'000, 0.02},
};

/// One run: per site what was taken and the truth.
struct Outcome {
  std::vector<std::vector<Sampled>> taken;
  std::vector<double> truth;
};

Outcome run_program(std::uint64_t seed, double interval) {
  struct Call {
    std::size_t site;
    std::size_t size;  // in its sizes
    bool kept;
  };
  std::mt19937_64 random(seed);
  std::vector<Call> calls;
  for (std::size_t site = 0; site < kSites.size(); ++site) {
    std::bernoulli_distribution kept(kSites[site].kept);
    for (int i = 0; i < kSites[site].blocks; ++i) {
      calls.push_back({site, random() % kSites[site].sizes.size(), kept(random)});
    }
  }
  std::shuffle(calls.begin(), calls.end(), random);
  Outcome outcome{{}, std::vector<double>(kSites.size())};
  std::vector<std::vector<double>> counts;
  for (const Site& site : kSites) counts.emplace_back(site.sizes.size());
  observe_sampler sampler{};
  for (const Call& call : calls) {
    const std::uint64_t bytes = kSites[call.site].sizes[call.size];
    const bool taken =
        observe_sampler_take(&sampler, bytes, static_cast<std::uint64_t>(interval), seed) != 0;
    counts[call.site][call.size] += taken && call.kept ? 1 : 0;
    if (call.kept) outcome.truth[call.site] += static_cast<double>(bytes);
  }
  for (std::size_t site = 0; site < kSites.size(); ++site) {
    auto& taken = outcome.taken.emplace_back();
    for (std::size_t i = 0; i < counts[site].size(); ++i) {
      taken.push_back({static_cast<double>(kSites[site].sizes[i]), interval, counts[site][i]});
    }
  }
  return outcome;
}

void expect_coverage(double interval) {
  constexpr int kSeeds = 200;
  constexpr int kLeast = 180;
  std::vector<int> inside(kSites.size());
  std::vector<double> ratio(kSites.size());
  int total_inside = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const Outcome outcome = run_program(static_cast<std::uint64_t>(seed), interval);
    std::vector<Sampled> all;
    for (std::size_t site = 0; site < kSites.size(); ++site) {
      const Value value = estimate(outcome.taken[site], Weigh::Bytes);
      const double truth = outcome.truth[site];
      inside[site] += value.low <= truth && truth <= value.high;
      ratio[site] += value.value / truth / kSeeds;
      all.insert(all.end(), outcome.taken[site].begin(), outcome.taken[site].end());
    }
    const double truth = std::accumulate(outcome.truth.begin(), outcome.truth.end(), 0.0);
    const Value total = estimate(all, Weigh::Bytes);
    total_inside += total.low <= truth && truth <= total.high;
  }
  EXPECT_GE(total_inside, kLeast);
  for (std::size_t site = 0; site < kSites.size(); ++site) {
    EXPECT_GE(inside[site], kLeast) << "site " << site;
    EXPECT_NEAR(ratio[site], 1.0, site == 5 ? 0.6 : 0.15) << "site " << site;
    testing::Test::RecordProperty("site_" + std::to_string(site), inside[site]);
  }
  testing::Test::RecordProperty("total", total_inside);
}

TEST(Estimate, HoldsTheTruthInNineOfTenRunsOfEachStack) { expect_coverage(kInterval); }

TEST(Estimate, HoldsTheTruthWithASmallIntervalToo) { expect_coverage(16 * 1024); }

}  // namespace
}  // namespace lb::observe
