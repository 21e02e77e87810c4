// SPDX-License-Identifier: Apache-2.0
// The XDP program, the pipeline and the referee on the same generated packets, with changes of the
// tables in between. In CI 100,000 of them; LB_LONG=1: 2,000,000. LB_SEED=N replays the round that
// a mismatch names. Also: that a planted error is found.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/support/packet_generator.h"
#include "tests/support/three_ways.h"

namespace lb {
namespace {

using test::PacketGenerator;
using test::ThreeWays;

constexpr int kPacketsOfRound = 2'000;
constexpr std::uint64_t kFirstSeed = 20'260'101;

class Differential : public testing::Test {
 protected:
  void SetUp() override {
    auto ways = ThreeWays::create();
    ASSERT_TRUE(ways) << ways.error().message;
    ways_ = std::move(*ways);
  }
  /// A world with its packets. What was found; `spoil` is called once in the middle.
  std::optional<std::string> round(std::uint64_t seed, auto&& spoil) {
    if (auto begun = ways_->begin(seed); !begun) return begun.error().message;
    PacketGenerator packets(seed, ways_->world().addresses(), ways_->mac());
    std::mt19937_64 random(seed);
    for (int i = 0; i < kPacketsOfRound && !ways_->is_stale(); ++i) {
      if (random() % 250 == 0) {
        if (auto changed = ways_->change(); !changed) return changed.error().message;
      }
      if (random() % 800 == 0) ways_->let_idle();
      if (i == kPacketsOfRound * 2 / 3) ways_->sweep();
      if (i == kPacketsOfRound / 2) spoil();
      if (i == kPacketsOfRound * 5 / 6 && seed % 2 == 0) {
        if (auto wrong = ways_->compare_flows()) return wrong;
        if (auto stopped = ways_->stop_worker(); !stopped) return stopped.error().message;
      }
      if (auto wrong = ways_->run(packets.next())) return wrong;
    }
    return ways_->compare_flows();
  }
  std::optional<std::string> round(std::uint64_t seed) {
    return round(seed, [] {});
  }
  /// Whether one of some rounds finds what `spoil` has planted.
  bool is_found(auto&& spoil) {
    for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + 20; ++seed) {
      if (round(seed, spoil)) return true;
    }
    return false;
  }
  std::unique_ptr<ThreeWays> ways_;
};

TEST_F(Differential, ProgramPipelineAndRefereeAgree) {
  if (const char* seed = std::getenv("LB_SEED")) {
    auto wrong = round(std::strtoull(seed, nullptr, 10));
    ASSERT_FALSE(wrong) << *wrong;
    return;
  }
  const std::uint64_t packets = std::getenv("LB_LONG") != nullptr ? 2'000'000 : 100'000;
  for (std::uint64_t seed = kFirstSeed; ways_->counts().packets < packets; ++seed) {
    auto wrong = round(seed);
    ASSERT_FALSE(wrong) << *wrong;
  }
  const ThreeWays::Counts& n = ways_->counts();
  std::cout << n.packets << " packets: " << n.passed << " passed, " << n.dropped << " dropped, "
            << n.sent << " sent, " << n.redirected << " redirected, " << n.handed
            << " handed over; " << n.remembered << " remembered, " << n.held << " held, "
            << n.answered << " answered, " << n.alone << " decided without the worker\n";
  for (std::uint64_t each : {n.passed, n.dropped, n.sent, n.redirected, n.handed, n.remembered,
                             n.held, n.answered, n.alone}) {
    EXPECT_GT(each, n.packets / 1'000) << "the packets are one-sided";
  }
}

TEST_F(Differential, FindsAMissedChangeOfTheTables) {
  EXPECT_TRUE(is_found([this] {
    ServiceTableSpec stale = ways_->referee().spec();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(ways_->change());
    ways_->referee().use(stale);
  }));
}

TEST_F(Differential, FindsAWrongByteInATable) {
  EXPECT_TRUE(is_found([this] {
    ServiceTableSpec spec = ways_->referee().spec();
    for (RealServer& rs : spec.real_servers) rs.mac.bytes[3] ^= 0x80;
    ways_->referee().use(spec);
  }));
}

TEST_F(Differential, FindsAWrongEntryInTheFlowMemory) {
  EXPECT_TRUE(is_found([this] { (void)ways_->bend_a_flow(); }));
}

TEST_F(Differential, FindsAWrongTimeout) {
  EXPECT_TRUE(is_found([this] {
    ServiceTableSpec spec = ways_->referee().spec();
    for (Service& service : spec.services) {
      service.timeouts.established_ms = service.timeouts.udp_ms = 50'000;
    }
    ways_->referee().use(spec);
    ways_->let_idle();
  }));
}

}  // namespace
}  // namespace lb
