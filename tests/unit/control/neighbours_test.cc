// SPDX-License-Identifier: Apache-2.0
#include "control/neighbours.h"

#include <gtest/gtest.h>
#include <linux/neighbour.h>

#include <vector>

namespace lb {
namespace {

constexpr MacAddr kMacA{{2, 0, 0, 0, 0, 0xa}};
constexpr MacAddr kMacB{{2, 0, 0, 0, 0, 0xb}};

class NeighbourResolverTest : public testing::Test {
 protected:
  static NeighbourTarget target(const std::string& ip, std::uint16_t vlan = 0) {
    return {.address = *IpAddr::parse(ip), .port = PortIndex{0}, .vlan = vlan};
  }
  bool entry(const std::string& ip, std::uint16_t state, std::optional<MacAddr> mac,
             bool gone = false) {
    NeighbourEntry row;
    row.address = *IpAddr::parse(ip);
    row.state = state;
    row.has_mac = mac.has_value();
    row.mac = mac.value_or(MacAddr{});
    return resolver.on_kernel_entry(PortIndex{0}, row, gone, now);
  }
  void want(std::vector<NeighbourTarget> targets) { resolver.set_targets(targets, now); }
  void second() {
    now += 1000;
    resolver.tick(now);
  }
  std::uint64_t now = 5000;
  std::vector<NeighbourTarget> probes, asked;
  std::optional<NeighbourEntry> known;
  NeighbourResolver resolver{{.probe = [this](const NeighbourTarget& t) { probes.push_back(t); },
                              .ask = [this](const NeighbourTarget& t) { asked.push_back(t); },
                              .look_up = [this](const NeighbourTarget&) { return known; }}};
};

TEST_F(NeighbourResolverTest, ProbesANewTargetAtOnceAndThenEverySecondUntilItAnswers) {
  want({target("10.0.0.5")});
  EXPECT_EQ(probes.size(), 1U);
  second();
  second();
  EXPECT_EQ(probes.size(), 3U);
  EXPECT_TRUE(entry("10.0.0.5", NUD_REACHABLE, kMacA));
  second();
  EXPECT_EQ(probes.size(), 3U);
  EXPECT_EQ(resolver.mac(target("10.0.0.5")), kMacA);
}

TEST_F(NeighbourResolverTest, TakesWhatTheKernelKnowsAlreadyWithoutAProbe) {
  known = NeighbourEntry{.ifindex = 2,
                         .address = *IpAddr::parse("10.0.0.5"),
                         .mac = kMacA,
                         .has_mac = true,
                         .state = NUD_REACHABLE};
  want({target("10.0.0.5")});
  EXPECT_TRUE(probes.empty());
  EXPECT_EQ(resolver.mac(target("10.0.0.5")), kMacA);
}

TEST_F(NeighbourResolverTest, KeepsTheMacWhileStaleFailedOrDeletedAndProbesAgain) {
  want({target("10.0.0.5")});
  entry("10.0.0.5", NUD_REACHABLE, kMacA);
  probes.clear();
  for (std::uint16_t state : {NUD_STALE, NUD_FAILED, NUD_INCOMPLETE}) {
    EXPECT_FALSE(
        entry("10.0.0.5", state, state == NUD_STALE ? std::optional(kMacA) : std::nullopt));
    second();
    EXPECT_EQ(resolver.mac(target("10.0.0.5")), kMacA);
  }
  EXPECT_EQ(probes.size(), 3U);
  EXPECT_FALSE(entry("10.0.0.5", NUD_STALE, kMacA, true));
  second();
  EXPECT_EQ(probes.size(), 4U);
  EXPECT_EQ(resolver.mac(target("10.0.0.5")), kMacA);
}

TEST_F(NeighbourResolverTest, FollowsAChangedMac) {
  want({target("10.0.0.5")});
  EXPECT_TRUE(entry("10.0.0.5", NUD_REACHABLE, kMacA));
  EXPECT_FALSE(entry("10.0.0.5", NUD_REACHABLE, kMacA));
  EXPECT_TRUE(entry("10.0.0.5", NUD_STALE, kMacB));
  EXPECT_EQ(resolver.mac(target("10.0.0.5")), kMacB);
}

TEST_F(NeighbourResolverTest, NeverLearnsAMulticastOrZeroMac) {
  want({target("10.0.0.5")});
  EXPECT_FALSE(entry("10.0.0.5", NUD_REACHABLE, MacAddr{{1, 0, 0x5e, 0, 0, 1}}));
  EXPECT_FALSE(entry("10.0.0.5", NUD_REACHABLE, MacAddr{}));
  EXPECT_EQ(resolver.mac(target("10.0.0.5")), std::nullopt);
}

TEST_F(NeighbourResolverTest, IgnoresNeighboursThatAreNoTargets) {
  EXPECT_FALSE(entry("10.0.0.9", NUD_REACHABLE, kMacA));
  want({target("10.0.0.5")});
  want({});
  EXPECT_FALSE(entry("10.0.0.5", NUD_REACHABLE, kMacA));
}

TEST_F(NeighbourResolverTest, AWorkersRequestProbesButNotTwiceInHalfASecond) {
  want({target("10.0.0.5")});
  resolver.request(target("10.0.0.5"), now + 10);
  EXPECT_EQ(probes.size(), 1U);
  resolver.request(target("10.0.0.5"), now + 600);
  EXPECT_EQ(probes.size(), 2U);
  resolver.request(target("10.0.0.6"), now + 600);
  EXPECT_EQ(probes.size(), 2U);
}

TEST_F(NeighbourResolverTest, ADoubtedOneIsAskedAtOnceBehindEveryPortAndTag) {
  const auto plain = target("10.0.0.5"), tagged = target("10.0.0.5", 7);
  want({plain, tagged, target("10.0.0.6")});
  entry("10.0.0.5", NUD_REACHABLE, kMacA);
  resolver.doubt(plain.address, now);
  EXPECT_EQ(asked, (std::vector{plain, tagged})) << "reachable or not";
  resolver.doubt(plain.address, now + 499);
  EXPECT_EQ(asked.size(), 2U) << "not twice in half a second";
  resolver.doubt(plain.address, now + 500);
  EXPECT_EQ(asked.size(), 4U);
  for (std::uint64_t ms = 1000; ms < 60'000; ms += 500) resolver.doubt(plain.address, now + ms);
  EXPECT_EQ(asked.size(), 6U) << "three times: a dead one is not asked for ever";
  resolver.trust(plain.address);
  resolver.doubt(plain.address, now + 60'000);
  EXPECT_EQ(asked.size(), 8U);
  resolver.trust(plain.address);
  entry("10.0.0.5", NUD_PERMANENT, kMacA);
  resolver.doubt(plain.address, now + 70'000);
  EXPECT_EQ(asked.size(), 9U) << "what somebody wrote by hand is not doubted";
}

TEST_F(NeighbourResolverTest, ARackThatDiesIsAskedForABoundedNumberOfTimesASecond) {
  std::vector<NeighbourTarget> rack;
  for (int i = 0; i < 1000; ++i) {
    rack.push_back(target("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1)));
  }
  resolver.set_targets(rack, now);
  for (const auto& one : rack) resolver.doubt(one.address, now);
  EXPECT_EQ(asked.size(), NeighbourResolver::kProbesPerTick);
  second();
  for (const auto& one : rack) resolver.doubt(one.address, now);
  EXPECT_EQ(asked.size(), 2 * NeighbourResolver::kProbesPerTick);
}

TEST_F(NeighbourResolverTest, ATaggedOneIsAskedAgainAfterItsTimeAndFailsAfterThreeSilences) {
  want({target("10.0.0.5", 100)});
  EXPECT_TRUE(resolver.on_tagged_answer(target("10.0.0.5", 100), kMacA, now));
  EXPECT_FALSE(resolver.on_tagged_answer(target("10.0.0.5", 200), kMacA, now));
  probes.clear();
  second();
  EXPECT_TRUE(probes.empty());
  now += NeighbourResolver::kReachableMs;
  second();
  EXPECT_EQ(probes.size(), 1U);
  EXPECT_EQ(resolver.list(now)[0].state, "stale");
  for (int i = 0; i < 4; ++i) second();
  EXPECT_EQ(resolver.list(now)[0].state, "failed");
  EXPECT_EQ(resolver.mac(target("10.0.0.5", 100)), kMacA);
  EXPECT_FALSE(resolver.on_tagged_answer(target("10.0.0.5", 100), kMacA, now));
  EXPECT_EQ(resolver.list(now)[0].state, "reachable");
}

TEST_F(NeighbourResolverTest, AKernelEntryIsNotForATaggedTarget) {
  want({target("10.0.0.5", 100)});
  EXPECT_FALSE(entry("10.0.0.5", NUD_REACHABLE, kMacA));
}

TEST_F(NeighbourResolverTest, ManyUnresolvedOnesTakeTurns) {
  std::vector<NeighbourTarget> many;
  for (int i = 0; i < 600; ++i) {
    many.push_back(target("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1)));
  }
  want(many);
  probes.clear();
  std::set<NeighbourTarget> reached;
  for (int i = 0; i < 3; ++i) {
    second();
    EXPECT_LE(probes.size(), NeighbourResolver::kProbesPerTick);
    reached.insert(probes.begin(), probes.end());
    probes.clear();
  }
  EXPECT_EQ(reached.size(), 600U);
}

}  // namespace
}  // namespace lb
