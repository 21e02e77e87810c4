// SPDX-License-Identifier: Apache-2.0
// What follows from a service's settings: its transition window, its rate of remembered flows, and
// whether it remembers flows at all.
#include "control/settings.h"

#include <gtest/gtest.h>

#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

TEST(Settings, FlowRateIsFlowsAWindowNeverNoneAndNeverOver) {
  static_assert(LB_RATE_WINDOW_MS == 64);
  EXPECT_EQ(flow_rate_in_window(0), 0U) << "no limit";
  EXPECT_EQ(flow_rate_in_window(1), 1U) << "a limit, however low, is not none";
  EXPECT_EQ(flow_rate_in_window(15), 1U);
  EXPECT_EQ(flow_rate_in_window(16), 2U) << "rounded up";
  EXPECT_EQ(flow_rate_in_window(1'000), 64U);
  EXPECT_EQ(flow_rate_in_window(100'000), 6'400U);
  EXPECT_EQ(flow_rate_in_window(1'023'984), 65'535U);
  EXPECT_EQ(flow_rate_in_window(1'023'985), 65'535U) << "saturated";
  EXPECT_EQ(flow_rate_in_window(kFlowRateMax), 65'535U);
  EXPECT_EQ(flow_rate_in_window(0xffffffff), 65'535U);
}

TEST(Settings, TransitionIsWhatWasSaidElseFifteenMinutesOrTheIdleTimeout) {
  auto udp = service_addr("192.0.2.10:53/udp");
  ServiceSettings settings;
  EXPECT_EQ(transition_window_ms(kWeb, settings), 900'000U);
  EXPECT_EQ(transition_window_ms(udp, settings), 900'000U);
  settings.timeouts.established_ms = 7'200'000;
  EXPECT_EQ(transition_window_ms(kWeb, settings), 7'200'000U);
  EXPECT_EQ(transition_window_ms(udp, settings), 900'000U) << "UDP has no established flows";
  settings.timeouts.udp_ms = 3'600'000;
  EXPECT_EQ(transition_window_ms(udp, settings), 3'600'000U);
  settings.timeouts.sctp_ms = 1'000'000;
  EXPECT_EQ(transition_window_ms(service_addr("192.0.2.10:9/sctp"), settings), 1'000'000U);
  settings.transition_ms = 8'000'000;
  EXPECT_EQ(transition_window_ms(kWeb, settings), 8'000'000U);
}

TEST(Settings, OnlyHashedServicesThatRememberNoFirstPacketAreStateless) {
  auto udp = service_addr("192.0.2.10:53/udp");
  ServiceSettings settings;
  EXPECT_FALSE(is_stateless(kWeb, settings)) << "wrr";
  for (auto scheduler : {Scheduler::Mh, Scheduler::Sh, Scheduler::Dh}) {
    settings.scheduler = scheduler;
    EXPECT_TRUE(is_stateless(kWeb, settings));
    EXPECT_TRUE(is_stateless(udp, settings));
  }
  settings.affinity = Affinity::Always;
  EXPECT_FALSE(is_stateless(udp, settings));
  EXPECT_TRUE(is_stateless(kWeb, settings)) << "TCP has a SYN";
}

}  // namespace
}  // namespace lb
