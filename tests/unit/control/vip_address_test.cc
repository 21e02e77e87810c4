// SPDX-License-Identifier: Apache-2.0
#include "control/vip_address.h"

#include <gtest/gtest.h>

#include "control/vip_marker.h"
#include "tests/support/control_world.h"

namespace lb {
namespace {

IpAddr ip(const std::string& text) { return *IpAddr::parse(text); }

/// A kernel of one map: what is added is on the ports, and the model hears of it.
class VipAddressesTest : public testing::Test {
 protected:
  Status add(const InterfaceAddress& address) {
    if (refuse) return fail(refuse, "refused");
    for (const auto& port : networks.ports()) {
      for (const auto& own : port.addresses) {
        if (own.ifindex == address.ifindex && own.address == address.address)
          return fail(EEXIST, "exists");
      }
    }
    ++adds;
    networks.on_address(address, false);
    return {};
  }
  Status remove(const InterfaceAddress& address) {
    removed.push_back(address.address.to_string());
    networks.on_address(address, true);
    return {};
  }
  [[nodiscard]] int on_port(PortIndex port, const std::string& vip) const {
    int count = 0;
    for (const auto& own : networks.port(port).addresses) count += own.address == ip(vip) ? 1 : 0;
    return count;
  }
  int adds = 0, announced = 0, refuse = 0;
  std::vector<std::string> removed;
  Networks networks = ControlWorld::two_networks();
  VipAddresses vips{networks,
                    {.add = [this](const InterfaceAddress& a) { return add(a); },
                     .remove = [this](const InterfaceAddress& a) { return remove(a); },
                     .announce = [this](PortIndex, const IpAddr&) { ++announced; }}};
};

TEST_F(VipAddressesTest, PutsAVipOnThePortOfItsNetworkElseOnTheFirst) {
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}, {ip("203.0.113.9"), VipOwner::Lbd}});
  EXPECT_EQ(on_port(PortIndex{1}, "10.0.0.99"), 1);
  EXPECT_EQ(on_port(PortIndex{0}, "203.0.113.9"), 1);
  const InterfaceAddress& put = networks.port(PortIndex{1}).addresses.back();
  EXPECT_EQ(put.prefix_length, 32);
  EXPECT_EQ(put.origin, kVipMarker);
}

TEST_F(VipAddressesTest, LeavesExternalVipsAlone) {
  vips.apply({{ip("10.0.0.99"), VipOwner::External}});
  EXPECT_EQ(adds, 0);
}

TEST_F(VipAddressesTest, AnnouncesSeveralTimesAndAgainWhenTheLinkReturns) {
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  for (int i = 0; i < 10; ++i) vips.tick();
  EXPECT_EQ(announced, VipAddresses::kAnnouncements);
  vips.announce_again(PortIndex{1});
  for (int i = 0; i < 10; ++i) vips.tick();
  EXPECT_EQ(announced, 2 * VipAddresses::kAnnouncements);
}

TEST_F(VipAddressesTest, NeverRemovesAnAddressThatItDidNotAdd) {
  networks.on_address(ControlWorld::address(3, "10.0.0.99", 24), false);
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  vips.apply({});
  vips.remove_all();
  EXPECT_TRUE(removed.empty());
  EXPECT_EQ(on_port(PortIndex{1}, "10.0.0.99"), 1);
}

TEST_F(VipAddressesTest, RemovesAtTheEndWhatItPut) {
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}, {ip("10.0.0.98"), VipOwner::Lbd}});
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  EXPECT_EQ(removed, std::vector<std::string>{"10.0.0.98"});
  vips.remove_all();
  EXPECT_EQ(on_port(PortIndex{1}, "10.0.0.99"), 0);
}

TEST_F(VipAddressesTest, TakesOverWhatADeadLbdLeftOrRemovesIt) {
  networks.on_address(ControlWorld::address(3, "10.0.0.99", 32, kVipMarker), false);
  networks.on_address(ControlWorld::address(3, "10.0.0.98", 32, kVipMarker), false);
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  EXPECT_EQ(adds, 0);
  EXPECT_EQ(announced, 1);
  EXPECT_EQ(removed, std::vector<std::string>{"10.0.0.98"});
  vips.remove_all();
  EXPECT_EQ(on_port(PortIndex{1}, "10.0.0.99"), 0);
}

TEST_F(VipAddressesTest, PutsBackWhatSomebodyTookOff) {
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  networks.on_address(ControlWorld::address(3, "10.0.0.99", 32, kVipMarker), true);
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  EXPECT_EQ(adds, 2);
}

TEST_F(VipAddressesTest, ARefusedOneIsTriedAgain) {
  refuse = EACCES;
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  EXPECT_EQ(adds, 0);
  refuse = 0;
  vips.apply({{ip("10.0.0.99"), VipOwner::Lbd}});
  EXPECT_EQ(adds, 1);
}

TEST_F(VipAddressesTest, MovesWhenItsNetworkMoves) {
  vips.apply({{ip("203.0.113.9"), VipOwner::Lbd}});
  networks.on_address(ControlWorld::address(3, "203.0.113.1", 24), false);
  vips.apply({{ip("203.0.113.9"), VipOwner::Lbd}});
  EXPECT_EQ(on_port(PortIndex{0}, "203.0.113.9"), 0);
  EXPECT_EQ(on_port(PortIndex{1}, "203.0.113.9"), 1);
}

}  // namespace
}  // namespace lb
