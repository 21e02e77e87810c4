// SPDX-License-Identifier: Apache-2.0
// Netlink: reading needs no root, so it is asked about loopback; events are read from bytes.
#include "control/netlink.h"

#include <gtest/gtest.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace lb {
namespace {

TEST(Netlink, FindsLoopbackAndItsAddress) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink) << netlink.error().message;
  auto links = netlink->links();
  ASSERT_TRUE(links) << links.error().message;
  auto lo = std::ranges::find(*links, "lo", &LinkEntry::name);
  ASSERT_NE(lo, links->end());
  EXPECT_TRUE(netlink->addresses());
  EXPECT_TRUE(netlink->neighbours());
  auto none = netlink->neighbour(lo->ifindex, *IpAddr::parse("203.0.113.99"));
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(*none) << "no entry is an answer, not an error";
}

TEST(Netlink, AnErrorOfTheKernelComesBackAsItsNumber) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  Status done = netlink->remove_address({.ifindex = 1 << 30,
                                         .address = *IpAddr::parse("203.0.113.99"),
                                         .prefix_length = 32,
                                         .origin = 0});
  ASSERT_FALSE(done);
  int error = done.error().code.value();
  EXPECT_TRUE(error == ENODEV || error == EPERM || error == EADDRNOTAVAIL) << done.error().message;
  EXPECT_TRUE(netlink->links()) << "the next request is answered as ever";
}

TEST(Netlink, NoEventsAreNoError) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  EXPECT_TRUE(netlink->read_events());
}

/// RTM_NEWNEIGH of an IPv4 neighbour with address and MAC.
std::vector<char> neighbour_message() {
  std::vector<char> bytes(sizeof(nlmsghdr) + sizeof(ndmsg) + 8 + 12);
  ndmsg body{};
  body.ndm_family = AF_INET;
  body.ndm_ifindex = 7;
  body.ndm_state = NUD_REACHABLE;
  std::memcpy(bytes.data() + sizeof(nlmsghdr), &body, sizeof(body));
  std::array<char, 20> attributes{8, 0,          NDA_DST, 0, 10, 0, 0, 5, 10,
                                  0, NDA_LLADDR, 0,       2, 0,  0, 0, 0, 5};
  std::memcpy(bytes.data() + sizeof(nlmsghdr) + sizeof(ndmsg), attributes.data(),
              attributes.size());
  return bytes;
}

bool parse(std::vector<char> bytes, std::size_t length, std::uint16_t type, NetlinkEvent& event) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(length);
  header.nlmsg_type = type;
  std::memcpy(bytes.data(), &header, sizeof(header));
  return parse_netlink_event(reinterpret_cast<const nlmsghdr*>(bytes.data()), event);
}

TEST(Netlink, ReadsANeighbourEvent) {
  NetlinkEvent event;
  auto bytes = neighbour_message();
  ASSERT_TRUE(parse(bytes, bytes.size(), RTM_NEWNEIGH, event));
  const auto& changed = std::get<NeighbourChanged>(event);
  EXPECT_FALSE(changed.gone);
  EXPECT_EQ(changed.entry.ifindex, 7);
  EXPECT_EQ(changed.entry.address.to_string(), "10.0.0.5");
  EXPECT_TRUE(changed.entry.has_mac);
  EXPECT_EQ(changed.entry.mac.to_string(), "02:00:00:00:00:05");
  ASSERT_TRUE(parse(bytes, bytes.size(), RTM_DELNEIGH, event));
  EXPECT_TRUE(std::get<NeighbourChanged>(event).gone);
}

TEST(Netlink, TakesNothingFromAShortMessage) {
  auto bytes = neighbour_message();
  NetlinkEvent event;
  for (std::size_t length = sizeof(nlmsghdr); length <= sizeof(nlmsghdr) + sizeof(ndmsg) + 4;
       ++length) {
    EXPECT_FALSE(parse(bytes, length, RTM_NEWNEIGH, event)) << length;
  }
  EXPECT_FALSE(parse(bytes, bytes.size(), RTM_NEWROUTE, event));
}

TEST(Netlink, NamesTheStatesAsIpDoes) {
  EXPECT_EQ(neighbour_state_name(NUD_REACHABLE), "reachable");
  EXPECT_EQ(neighbour_state_name(NUD_INCOMPLETE), "incomplete");
  EXPECT_EQ(neighbour_state_name(0), "none");
}

}  // namespace
}  // namespace lb
