// SPDX-License-Identifier: Apache-2.0
// Per-connection consistency: connections over random changes break only where nothing is promised,
// and the rules that Sluice does not follow break many. LB_LONG=1: a million connections.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/unit/dataplane/flow_simulation.h"
#include "tests/unit/dataplane/slot_model.h"

namespace lb {
namespace {

struct OverwritingPlan : SlotModel {
  explicit OverwritingPlan(std::vector<std::uint16_t> owners)
      : SlotModel(std::move(owners), Old::Overwritten) {}
};

/// Each pair of ports makes about nine connections.
template <class Plan>
FlowOutcome simulate(std::uint32_t connections, FlowRules rules = {}, std::uint32_t seed = 1) {
  FlowOutcome seen = FlowSimulation<Plan>(connections / 8, seed, rules).run();
  EXPECT_GE(seen.connections, connections);
  EXPECT_GT(seen.changes, 200U);
  std::cout << seen.connections << " connections, " << seen.changes << " changes: " << seen.broken
            << " broken; " << seen.lost << " lost their real server, " << seen.idle_too_long
            << " broken after idling too long, " << seen.repeated_apart
            << " repeated their SYN across a change; " << seen.remembered_most
            << " remembered at most\n";
  return seen;
}

TEST(SlotPlanModel, NoConnectionBreaksWhoseRealServerLives) {
  const bool in_full = std::getenv("LB_LONG") != nullptr;
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    const FlowOutcome seen = simulate<SlotPlan>(in_full ? 1'000'000 : 100'000, {}, seed);
    EXPECT_EQ(seen.broken, 0U);
    // Not promised, and there to be seen: otherwise the simulation is too tame.
    EXPECT_GT(seen.lost, seen.connections / 100);
    EXPECT_GT(seen.idle_too_long, 0U);
    EXPECT_GT(seen.repeated_apart, 0U);
    EXPECT_LT(seen.repeated_apart, seen.connections / 1000) << "a tenth of those that repeat it";
    EXPECT_EQ(seen.repeated_apart_without_change, 0U);
    EXPECT_GT(seen.steady_seconds, 0U) << "some slots lost all their exceptions";
  }
}

TEST(SlotPlanModel, RememberingTheAckInsteadOfTheSynBreaksMany) {
  const FlowOutcome seen = simulate<SlotPlan>(20'000, {.remember_syn = false});
  EXPECT_GT(seen.broken, seen.connections / 10);
}

TEST(SlotPlanModel, OverwritingOldWithEachChangeBreaksMany) {
  const FlowOutcome seen = simulate<OverwritingPlan>(20'000);
  EXPECT_GT(seen.broken, seen.connections / 100);
}

TEST(SlotPlanModel, AMemoryThatASynDoesNotFollowHasToGo) {
  const FlowOutcome seen = simulate<SlotPlan>(20'000, {.forget_refused = false});
  EXPECT_GT(seen.broken, 0U) << "the ACK finds it";
}

}  // namespace
}  // namespace lb
