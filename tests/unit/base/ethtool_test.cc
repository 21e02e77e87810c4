// SPDX-License-Identifier: Apache-2.0
// What can be read of interfaces without root: loopback is everywhere.
#include "dataplane/base/ethtool.h"

#include <gtest/gtest.h>

namespace lb {
namespace {

TEST(Ethtool, LoopbackIsReadAndIsNotEthernet) {
  auto link = read_link("lo");
  ASSERT_TRUE(link) << link.error().message;
  EXPECT_EQ(link->ifindex, 1);
  EXPECT_FALSE(link->ethernet);
  EXPECT_GT(link->mtu, 0U);
  EXPECT_EQ(link->rx_queues, 1U);
  EXPECT_EQ(rx_queues_in_use("lo", *link), 1U);
  EXPECT_FALSE(strips_vlan("lo"));
}

TEST(Ethtool, UnknownInterfacesAreErrorsInWords) {
  for (const char* name : {"", "nosuch0", "a-name-that-is-longer-than-any-interface"}) {
    auto link = read_link(name);
    ASSERT_FALSE(link);
    EXPECT_EQ(link.error().code.value(), ENODEV);
    EXPECT_NE(link.error().message.find("there is no interface"), std::string::npos);
  }
  EXPECT_EQ(driver_name("nosuch0"), "");
  EXPECT_FALSE(set_strips_vlan("nosuch0", false));
}

}  // namespace
}  // namespace lb
