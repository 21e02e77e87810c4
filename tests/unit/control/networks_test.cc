// SPDX-License-Identifier: Apache-2.0
#include "control/networks.h"

#include <gtest/gtest.h>

#include "control/vip_marker.h"
#include "tests/support/control_world.h"

namespace lb {
namespace {

IpAddr ip(const std::string& text) { return *IpAddr::parse(text); }

TEST(Networks, PortOfIsTheLongestPrefixThenTheFirstPort) {
  Networks networks = ControlWorld::two_networks();
  EXPECT_EQ(networks.port_of(ip("192.168.1.54")), PortIndex{0});
  EXPECT_EQ(networks.port_of(ip("10.0.0.200")), PortIndex{1});
  EXPECT_EQ(networks.port_of(ip("2001:db8:1::54")), PortIndex{0});
  EXPECT_EQ(networks.port_of(ip("203.0.113.1")), std::nullopt);
  networks.on_address(ControlWorld::address(3, "192.168.1.200", 28), false);
  EXPECT_EQ(networks.port_of(ip("192.168.1.201")), PortIndex{1});
  EXPECT_EQ(networks.port_of(ip("192.168.1.54")), PortIndex{0});
}

TEST(Networks, AVipOfOursIsNoNetwork) {
  Networks networks({"eth0"});
  networks.reset({ControlWorld::link(2, "eth0")},
                 {ControlWorld::address(2, "192.0.2.10", 24, kVipMarker)});
  EXPECT_EQ(networks.port_of(ip("192.0.2.11")), std::nullopt);
  EXPECT_EQ(networks.describe(), "eth0: no address");
}

TEST(Networks, EgressNamesTheNetworksThereAre) {
  Networks networks = ControlWorld::two_networks();
  auto refused = networks.egress_of(ip("203.0.113.7"), "", 0);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("203.0.113.7 is on no attached network"),
            std::string::npos);
  EXPECT_NE(refused.error().message.find("eth0: 192.168.1.0/24"), std::string::npos);
  EXPECT_NE(refused.error().message.find("eth1: 10.0.0.0/24"), std::string::npos);
}

TEST(Networks, EgressTakesTheNamedPortAndKnowsTheOthers) {
  Networks networks = ControlWorld::two_networks();
  EXPECT_EQ(*networks.egress_of(ip("203.0.113.7"), "eth1", 0), PortIndex{1});
  auto unknown = networks.egress_of(ip("203.0.113.7"), "eth7", 0);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("port eth7 is not attached"), std::string::npos);
}

TEST(Networks, EgressBehindATagNeedsNoNetwork) {
  Networks networks = ControlWorld::two_networks();
  EXPECT_EQ(*networks.egress_of(ip("172.16.0.5"), "", 100), PortIndex{0});
  EXPECT_EQ(*networks.egress_of(ip("10.0.0.5"), "", 100), PortIndex{1});
}

TEST(Networks, EgressRefusesTheDirectorItself) {
  Networks networks = ControlWorld::two_networks();
  auto refused = networks.egress_of(ip("192.168.1.129"), "", 0);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("the director itself"), std::string::npos);
}

TEST(Networks, ALinkThatGoesTakesItsAddressesAlong) {
  Networks networks = ControlWorld::two_networks();
  Networks::Change change = networks.on_link_gone(3);
  EXPECT_TRUE(change.links);
  EXPECT_EQ(change.port, PortIndex{1});
  EXPECT_FALSE(networks.port(PortIndex{1}).exists);
  EXPECT_EQ(networks.port_of(ip("10.0.0.5")), std::nullopt);
  EXPECT_FALSE(networks.on_link_gone(3).links);
}

TEST(Networks, ADeviceMadeAgainUnderThePortsNameIsNotThePort) {
  Networks networks = ControlWorld::two_networks();
  networks.on_link_gone(3);
  EXPECT_FALSE(networks.on_link(ControlWorld::link(7, "eth1")).port);
  EXPECT_FALSE(networks.port(PortIndex{1}).exists);
  EXPECT_TRUE(networks.port(PortIndex{1}).back);
  EXPECT_FALSE(networks.port(PortIndex{0}).back);
  LinkEntry renamed = ControlWorld::link(2, "wan0");
  EXPECT_EQ(networks.on_link(renamed).port, PortIndex{0});
}

TEST(Networks, APortThatWentStaysGoneAlsoUnderItsOldIndex) {
  Networks networks = ControlWorld::two_networks();
  networks.on_link_gone(3);
  EXPECT_FALSE(networks.port(PortIndex{1}).back);
  EXPECT_FALSE(networks.on_link(ControlWorld::link(3, "eth1")).port) << "back from a namespace";
  EXPECT_FALSE(networks.port(PortIndex{1}).exists);
  EXPECT_TRUE(networks.port(PortIndex{1}).back);
}

TEST(Networks, APortThatWasMadeAgainWhileEventsWereLostIsNotThePort) {
  Networks networks = ControlWorld::two_networks();
  networks.reset({ControlWorld::link(2, "eth0"), ControlWorld::link(7, "eth1")}, {});
  EXPECT_FALSE(networks.port(PortIndex{1}).exists);
  EXPECT_TRUE(networks.port(PortIndex{1}).back);
  EXPECT_FALSE(networks.port(PortIndex{0}).back);
}

TEST(Networks, SaysWhatAnEventChanged) {
  Networks networks = ControlWorld::two_networks();
  LinkEntry link = ControlWorld::link(2, "eth0");
  EXPECT_FALSE(networks.on_link(link).links);
  link.up = false;
  EXPECT_TRUE(networks.on_link(link).links);
  EXPECT_FALSE(networks.on_link(ControlWorld::link(9, "wlan0")).port);
  EXPECT_FALSE(networks.on_address(ControlWorld::address(2, "192.168.1.129", 24), false).addresses);
  EXPECT_TRUE(networks.on_address(ControlWorld::address(2, "192.168.1.129", 24), true).addresses);
  EXPECT_FALSE(networks.on_address(ControlWorld::address(9, "192.168.7.1", 24), false).addresses);
}

TEST(Networks, TheKernelReachesWhatAnotherDeviceIsOn) {
  Networks networks = ControlWorld::two_networks();
  EXPECT_FALSE(networks.kernel_reaches(ip("172.16.0.5")));
  networks.on_address(ControlWorld::address(9, "172.16.0.1", 24), false);
  EXPECT_TRUE(networks.kernel_reaches(ip("172.16.0.5")));
  EXPECT_FALSE(networks.kernel_reaches(ip("192.168.1.54")));
}

TEST(Networks, SourceIsAnAddressThePeerKnowsAsItsNeighbour) {
  Networks networks = ControlWorld::two_networks();
  EXPECT_EQ(networks.source_for(PortIndex{0}, ip("192.168.1.54")), ip("192.168.1.129"));
  EXPECT_EQ(networks.source_for(PortIndex{0}, ip("172.16.0.5")), std::nullopt);
  EXPECT_EQ(networks.source_for(PortIndex{0}, ip("2001:db8:9::5")), ip("fe80::129"));
}

TEST(Networks, SameNetworkComparesBits) {
  EXPECT_TRUE(same_network(ip("10.0.0.1"), ip("10.0.0.2"), 30));
  EXPECT_FALSE(same_network(ip("10.0.0.1"), ip("10.0.0.2"), 31));
  EXPECT_TRUE(same_network(ip("10.0.0.1"), ip("200.0.0.2"), 0));
  EXPECT_FALSE(same_network(ip("10.0.0.1"), ip("::1"), 0));
  EXPECT_TRUE(same_network(ip("2001:db8::1"), ip("2001:db8::ffff"), 64));
}

}  // namespace
}  // namespace lb
