// SPDX-License-Identifier: Apache-2.0
// rs-setup's judgement of a real server, on states that need no network.
#include "control/client/rs_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/client/fake_lbd.h"

namespace lb::client {
namespace {

using ::testing::HasSubstr;

RsState good_state(const IpAddr& vip) {
  RsState state;
  state.lo_up = true;
  state.addresses = {{"lo", vip, vip.is_v4() ? 32U : 128U}};
  state.arp_ignore = {{"all", 1}, {"default", 0}, {"lo", 0}, {"eth0", 0}};
  state.arp_announce = {{"all", 2}, {"default", 0}, {"lo", 0}, {"eth0", 0}};
  return state;
}

bool all_good(const std::vector<RsCheck>& checks) {
  return std::ranges::all_of(checks, &RsCheck::good);
}

std::vector<std::string> fixes(const std::vector<RsCheck>& checks) {
  std::vector<std::string> out;
  for (const auto& check : checks) {
    EXPECT_EQ(check.good, check.fix.empty());
    if (!check.good) out.push_back(check.fix);
  }
  return out;
}

class RsSetup : public ::testing::Test {
 protected:
  IpAddr vip4 = *IpAddr::parse("192.0.2.10");
  IpAddr vip6 = *IpAddr::parse("2001:db8::10");
};

TEST_F(RsSetup, AGoodServerIsGood) {
  EXPECT_TRUE(all_good(judge(vip4, good_state(vip4))));
  EXPECT_TRUE(all_good(judge(vip6, good_state(vip6))));
}

TEST_F(RsSetup, NothingSetUpNamesEveryCommand) {
  RsState state;
  state.arp_ignore = {{"all", 0}, {"eth0", 0}};
  state.arp_announce = {{"all", 0}, {"eth0", 0}};
  EXPECT_EQ(
      fixes(judge(vip4, state)),
      (std::vector<std::string>{"ip link set lo up", "sysctl -w net.ipv4.conf.all.arp_ignore=1",
                                "sysctl -w net.ipv4.conf.all.arp_announce=2",
                                "ip address add 192.0.2.10/32 dev lo"}));
  EXPECT_EQ(fixes(judge(vip6, state)).back(),
            "ip address add 2001:db8::10/128 dev lo nodad preferred_lft 0");
}

TEST_F(RsSetup, TheLargerOfAllAndInterfaceCounts) {
  auto state = good_state(vip4);
  state.arp_ignore = {{"all", 0}, {"lo", 0}, {"eth0", 2}};
  state.arp_announce = {{"all", 0}, {"lo", 0}, {"eth0", 2}};
  EXPECT_TRUE(all_good(judge(vip4, state)));
  state.arp_ignore["eth1"] = 0;
  auto checks = judge(vip4, state);
  ASSERT_FALSE(all_good(checks));
  EXPECT_EQ(checks[1].found, "too low on eth1");
}

TEST_F(RsSetup, AVipOnTheLanInterfaceIsWrong) {
  auto state = good_state(vip4);
  state.addresses.push_back({"eth0", vip4, 24});
  EXPECT_EQ(fixes(judge(vip4, state)),
            std::vector<std::string>{"ip address del 192.0.2.10/24 dev eth0"});
}

TEST_F(RsSetup, AVipOnLoWithItsNetworkIsWrong) {
  auto state = good_state(vip4);
  state.addresses = {{"lo", vip4, 24}};
  EXPECT_EQ(fixes(judge(vip4, state)),
            std::vector<std::string>{"ip address del 192.0.2.10/24 dev lo"});
}

TEST_F(RsSetup, PrintsCommandsForAddressesAndServices) {
  TempDir dir;
  auto ran = run_lbctl(dir.file("none"), {"rs-setup", "192.0.2.10"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.out, HasSubstr("ip address add 192.0.2.10/32 dev lo"));
  EXPECT_EQ(run_lbctl(dir.file("none"), {"rs-setup", "192.0.2.10:80/tcp"}).out, ran.out);
  EXPECT_THAT(run_lbctl(dir.file("none"), {"rs-setup", "2001:db8::10"}).out,
              HasSubstr("/128 dev lo"));
}

TEST_F(RsSetup, RefusesWhatCannotBeAVip) {
  TempDir dir;
  for (const char* text : {"", "x", "127.0.0.1", "0.0.0.0", "::", "::1", "224.0.0.1", "ff02::1",
                           "255.255.255.255", "192.0.2.10/32"}) {
    EXPECT_EQ(run_lbctl(dir.file("none"), {"rs-setup", text, "--check"}).code, 1) << text;
  }
}

}  // namespace
}  // namespace lb::client
