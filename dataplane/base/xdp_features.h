// SPDX-License-Identifier: Apache-2.0
// What an interface can do of XDP, as the kernel tells it (netdev generic netlink, Linux 6.3 and
// later), in the caller's network namespace. It may change while the interface lives: a veth takes
// frames from XDP only while its other end polls (has an XDP program, or GRO on). Any thread.
#pragma once

#include <cstdint>
#include <optional>

namespace lb {

struct XdpFeatures {
  bool basic = false;  ///< native programs: pass, drop, XDP_TX
  bool xmit = false;   ///< frames that XDP redirects to it are sent (ndo_xdp_xmit)
  friend bool operator==(const XdpFeatures&, const XdpFeatures&) = default;
};

/// Nothing when the kernel does not tell.
[[nodiscard]] std::optional<XdpFeatures> read_xdp_features(int ifindex);

}  // namespace lb
