// SPDX-License-Identifier: Apache-2.0
// VipAddresses: puts the VIPs that lbd owns on the ports, announces them, and takes them off again.
// It never removes an address that it did not add: its own carry the mark of vip_marker.h and are
// found again after a crash. Director's thread; the system calls are its hooks.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "control/networks.h"
#include "control/settings.h"

namespace lb {

class VipAddresses {
 public:
  struct Hooks {
    std::function<Status(const InterfaceAddress&)> add, remove;
    /// One gratuitous ARP or unsolicited advertisement.
    std::function<void(PortIndex, const IpAddr&)> announce;
  };
  /// `networks` outlives this.
  VipAddresses(const Networks& networks, Hooks hooks)
      : networks_(networks), hooks_(std::move(hooks)) {}

  /// Makes the ports carry exactly the VIPs owned by lbd: on the port whose network holds the VIP,
  /// else the first one. Call when the VIPs or the ports' addresses changed. A failure is logged
  /// once and tried again with the next call.
  void apply(const std::map<IpAddr, VipOwner>& vips);
  /// Every second: repeats announcements, kAnnouncements in all.
  void tick();
  /// The link of the port came up: its neighbours may have forgotten.
  void announce_again(PortIndex port);
  /// Takes off all that was put on.
  void remove_all();

  static constexpr int kAnnouncements = 4;

 private:
  struct Own {
    PortIndex port{};
    int announcements_left = 0;
  };
  [[nodiscard]] InterfaceAddress on_port(PortIndex port, const IpAddr& vip) const;
  void put(PortIndex port, const IpAddr& vip);
  void take_off(PortIndex port, const IpAddr& vip);
  void remove_leftovers(const std::map<IpAddr, VipOwner>& vips);
  void complain(const IpAddr& vip, const std::string& message);

  const Networks& networks_;
  Hooks hooks_;
  std::map<IpAddr, Own> own_;
  std::set<IpAddr> complained_;
};

}  // namespace lb
