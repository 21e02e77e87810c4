// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/ethtool.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <tuple>
#include <vector>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

constexpr std::size_t kFeatureBlocks = 8;                   // of 32 features; Linux 6.18 has two
constexpr const char* kVlanStripping = "rx-vlan-hw-parse";  // ethtool -k: rx-vlan-offload
constexpr const char* kVlanFilter = "rx-vlan-filter";

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

/// A feature's place among those of the interface, or nothing when its kernel has none of the name.
std::optional<std::uint32_t> feature_index(const std::string& interface, const char* name) {
  struct {  // ethtool_sset_info with one answer
    __u32 cmd = ETHTOOL_GSSET_INFO;
    __u32 reserved = 0;
    __u64 sset_mask = 1ULL << ETH_SS_FEATURES;
    __u32 count = 0;
  } sizes;
  if (!ethtool_ioctl(interface, sizes) || sizes.sset_mask == 0) return std::nullopt;
  const std::size_t count = std::min<std::size_t>(sizes.count, 32 * kFeatureBlocks);
  std::vector<char> memory(sizeof(ethtool_gstrings) + count * ETH_GSTRING_LEN);
  auto* strings = reinterpret_cast<ethtool_gstrings*>(memory.data());
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = static_cast<__u32>(count);
  if (!ethtool_ioctl(interface, *strings)) return std::nullopt;
  for (std::uint32_t i = 0; i < count; ++i) {
    const char* found = memory.data() + sizeof(ethtool_gstrings) + std::size_t{i} * ETH_GSTRING_LEN;
    if (std::strncmp(found, name, ETH_GSTRING_LEN) == 0) return i;
  }
  return std::nullopt;
}

/// ethtool_gfeatures, with room for the answer.
struct Features {
  __u32 cmd = ETHTOOL_GFEATURES;
  __u32 size = kFeatureBlocks;
  std::array<ethtool_get_features_block, kFeatureBlocks> blocks{};

  [[nodiscard]] bool active(std::uint32_t index) const {
    return index / 32 < size && (blocks[index / 32].active >> (index % 32) & 1) != 0;
  }
};

bool feature_on(const std::string& interface, const char* name) {
  auto index = feature_index(interface, name);
  Features now;
  return index && ethtool_ioctl(interface, now) && now.active(*index);
}

/// Whether the feature is as it was asked for afterwards.
bool set_feature(const std::string& interface, const char* name, bool on) {
  auto index = feature_index(interface, name);
  Features now;
  if (!index || !ethtool_ioctl(interface, now) || *index / 32 >= now.size) return false;
  struct {  // ethtool_sfeatures; the kernel wants the size that it has itself
    __u32 cmd = ETHTOOL_SFEATURES;
    __u32 size = 0;
    std::array<ethtool_set_features_block, kFeatureBlocks> blocks{};
  } wanted;
  const __u32 bit = __u32{1} << (*index % 32);
  wanted.size = now.size;
  wanted.blocks[*index / 32] = {.valid = bit, .requested = on ? bit : 0};
  std::ignore = ethtool_ioctl(interface, wanted);  // answers flags; what counts is what is in force
  return feature_on(interface, name) == on;
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

bool strips_vlan(const std::string& interface) { return feature_on(interface, kVlanStripping); }

Status set_strips_vlan(const std::string& interface, bool on) {
  if (set_feature(interface, kVlanStripping, on)) return {};
  return fail(EOPNOTSUPP,
              fmt::format("interface {} takes VLAN tags out of received frames and its driver does "
                          "not let that be changed (ethtool -k {} | grep rx-vlan-offload)",
                          interface, interface));
}

bool filters_vlan(const std::string& interface) { return feature_on(interface, kVlanFilter); }

Status set_filters_vlan(const std::string& interface, bool on) {
  if (set_feature(interface, kVlanFilter, on)) return {};
  return fail(EOPNOTSUPP,
              fmt::format("interface {} drops frames of VLANs that it has no VLAN device for, and "
                          "its driver does not let that be changed ({}); tagged real servers and "
                          "clients need one: ip link add link {} name {}.N type vlan id N",
                          interface, kVlanFilter, interface, interface));
}

}  // namespace lb
