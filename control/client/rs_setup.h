// SPDX-License-Identifier: Apache-2.0
// rs-setup: what a real server needs so that DR works: the VIP on lo, and silence about it towards
// the LAN (IPv4: arp_ignore and arp_announce; IPv6: nothing more, the kernel answers neighbour
// solicitations for the receiving interface's addresses alone). Runs on the real server, in its
// network namespace, without lbd.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/client/session.h"
#include "dataplane/base/addr.h"

namespace lb::client {

enum class RsSetupMode : std::uint8_t { Print, Apply, Remove, Check };

/// An address on an interface of this machine.
struct HeldAddress {
  std::string interface;
  IpAddr address;
  unsigned prefix_length = 0;
};

/// What rs-setup looks at, as found: data, so that the judgement is tested without a network.
struct RsState {
  std::vector<HeldAddress> addresses;
  /// net.ipv4.conf.X.arp_ignore and arp_announce, by X: "all" and every interface.
  std::map<std::string, int> arp_ignore, arp_announce;
  bool lo_up = false;
};

struct RsCheck {
  std::string what;  ///< "the VIP is on lo"
  bool good = false;
  std::string found;  ///< what there is
  std::string fix;    ///< a command; empty when good
};

/// Everything that DR needs for `vip`, judged; never empty.
[[nodiscard]] std::vector<RsCheck> judge(const IpAddr& vip, const RsState& state);
/// The commands that a person would type, with what each is for.
[[nodiscard]] std::string rs_setup_text(const IpAddr& vip);
/// Reads the state of this network namespace. Errors: netlink or /proc/sys cannot be read.
[[nodiscard]] Result<RsState> read_rs_state();

/// `vip` is an address, or a service address whose VIP is meant. Check: Unhealthy when something is
/// not as it should be. Apply and Remove may be repeated.
ExitCode rs_setup(Session& session, const std::string& vip, RsSetupMode mode);

}  // namespace lb::client
