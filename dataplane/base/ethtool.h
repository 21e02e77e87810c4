// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of a network interface, and the knobs we need: queues, receive VLAN
// stripping and the VLAN filter. By ethtool ioctl and rtnetlink, in the caller's network namespace
// (sysfs may show another one). Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/base/addr.h"
#include "dataplane/base/result.h"

namespace lb {

struct LinkInfo {
  int ifindex = 0;
  MacAddr mac;
  std::uint32_t mtu = 0;
  bool up = false;              ///< IFF_UP and IFF_RUNNING
  bool ethernet = false;        ///< ARPHRD_ETHER
  std::uint32_t rx_queues = 0;  ///< as allocated; the channels may be fewer
};

/// Errors: ENODEV "no interface eth9".
[[nodiscard]] Result<LinkInfo> read_link(const std::string& interface);
/// Name of the driver; empty when it does not say.
[[nodiscard]] std::string driver_name(const std::string& interface);
/// RX queues in use: what the driver's channels say, else what was allocated.
[[nodiscard]] std::uint32_t rx_queues_in_use(const std::string& interface, const LinkInfo& link);
/// The command that makes it `queues`: "ethtool -L eth0 combined 2", or rx and tx where the driver
/// counts them apart.
[[nodiscard]] std::string set_queues_command(const std::string& interface, std::uint32_t queues);
/// Whether the interface takes VLAN tags out of received frames (ETH_FLAG_RXVLAN).
[[nodiscard]] bool strips_vlan(const std::string& interface);
/// Errors: EOPNOTSUPP when the driver keeps it as it is, with the way to see it.
[[nodiscard]] Status set_strips_vlan(const std::string& interface, bool on);

/// Whether the interface drops frames of VLANs that have no VLAN device on it (rx-vlan-filter).
[[nodiscard]] bool filters_vlan(const std::string& interface);
/// Errors: EOPNOTSUPP when the driver keeps it as it is, with the way around it.
[[nodiscard]] Status set_filters_vlan(const std::string& interface, bool on);

}  // namespace lb
