// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/ethtool.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

/// An ioctl that takes an ifreq; false on any error.
bool interface_ioctl(const std::string& interface, unsigned long request, ifreq& ifr) {
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (interface.size() >= IFNAMSIZ) {
    errno = ENODEV;
    return false;
  }
  std::memcpy(ifr.ifr_name, interface.c_str(), interface.size() + 1);
  return fd && ioctl(fd.get(), request, &ifr) == 0;
}

/// SIOCETHTOOL with one of its command structs.
template <class T>
bool ethtool_ioctl(const std::string& interface, T& command) {
  ifreq ifr{};
  ifr.ifr_data = reinterpret_cast<char*>(&command);
  return interface_ioctl(interface, SIOCETHTOOL, ifr);
}

/// IFLA_NUM_RX_QUEUES by rtnetlink; 0 when it cannot be had.
std::uint32_t allocated_rx_queues(int ifindex) {
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.info.ifi_index = ifindex;
  if (!fd || send(fd.get(), &request, sizeof request, 0) < 0) return 0;
  alignas(nlmsghdr) std::array<char, 32768> reply{};
  ssize_t received = recv(fd.get(), reply.data(), reply.size(), 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(reply.data());
  if (received < static_cast<ssize_t>(sizeof request) || header->nlmsg_type != RTM_NEWLINK ||
      header->nlmsg_len > static_cast<std::size_t>(received)) {
    return 0;
  }
  std::size_t at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(ifinfomsg)));
  while (at + sizeof(rtattr) <= header->nlmsg_len) {
    rtattr attribute{};
    std::memcpy(&attribute, reply.data() + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > header->nlmsg_len) break;
    if (attribute.rta_type == IFLA_NUM_RX_QUEUES && attribute.rta_len == RTA_LENGTH(4)) {
      std::uint32_t queues = 0;
      std::memcpy(&queues, reply.data() + at + RTA_LENGTH(0), sizeof queues);
      return queues;
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return 0;
}

}  // namespace

Result<LinkInfo> read_link(const std::string& interface) {
  LinkInfo link;
  link.ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  ifreq ifr{};
  if (link.ifindex == 0 || !interface_ioctl(interface, SIOCGIFFLAGS, ifr)) {
    return fail(ENODEV, fmt::format("there is no interface {} (ip -br link shows those there are)",
                                    interface));
  }
  link.up = (ifr.ifr_flags & IFF_UP) != 0 && (ifr.ifr_flags & IFF_RUNNING) != 0;
  if (interface_ioctl(interface, SIOCGIFMTU, ifr)) {
    link.mtu = static_cast<std::uint32_t>(ifr.ifr_mtu);
  }
  if (interface_ioctl(interface, SIOCGIFHWADDR, ifr)) {
    link.ethernet = ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER;
    std::memcpy(link.mac.bytes.data(), ifr.ifr_hwaddr.sa_data, link.mac.bytes.size());
  }
  link.rx_queues = allocated_rx_queues(link.ifindex);
  return link;
}

std::string driver_name(const std::string& interface) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!ethtool_ioctl(interface, info)) return {};
  return {info.driver, strnlen(info.driver, sizeof info.driver)};
}

std::uint32_t rx_queues_in_use(const std::string& interface, const LinkInfo& link) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ethtool_ioctl(interface, channels)) {
    std::uint32_t in_use = channels.rx_count + channels.combined_count;
    if (in_use != 0 || channels.max_rx + channels.max_combined != 0) return in_use;
  }
  return link.rx_queues;
}

std::string set_queues_command(const std::string& interface, std::uint32_t queues) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  bool apart = ethtool_ioctl(interface, channels) && channels.max_combined == 0;
  return apart ? fmt::format("ethtool -L {} rx {} tx {}", interface, queues, queues)
               : fmt::format("ethtool -L {} combined {}", interface, queues);
}

bool strips_vlan(const std::string& interface) {
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;
  return ethtool_ioctl(interface, flags) && (flags.data & ETH_FLAG_RXVLAN) != 0;
}

Status set_strips_vlan(const std::string& interface, bool on) {
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;
  bool done = ethtool_ioctl(interface, flags);
  if (done) {
    flags.cmd = ETHTOOL_SFLAGS;
    flags.data = on ? flags.data | ETH_FLAG_RXVLAN : flags.data & ~__u32{ETH_FLAG_RXVLAN};
    done = ethtool_ioctl(interface, flags);
  }
  if (done && strips_vlan(interface) == on) return {};
  return fail(EOPNOTSUPP,
              fmt::format("interface {} takes VLAN tags out of received frames and its driver does "
                          "not let that be changed (ethtool -k {} | grep rx-vlan-offload)",
                          interface, interface));
}

}  // namespace lb
