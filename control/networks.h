// SPDX-License-Identifier: Apache-2.0
// Networks: what the attached ports are connected to: a model of their links and addresses, fed
// from netlink, asked for the port of a real server or VIP. Director's thread. No I/O: Director
// reads netlink and tells it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/netlink.h"
#include "dataplane/base/ids.h"

namespace lb {

class Networks {
 public:
  /// The attached ports, in the order of the config.
  explicit Networks(std::vector<std::string> interfaces);

  /// Replaces everything known, at start and after lost events. The first call fixes which devices
  /// the ports are: one that is deleted and made again under its name is another device, to which
  /// nothing is attached.
  void reset(const std::vector<LinkEntry>& links, const std::vector<InterfaceAddress>& addresses);

  struct Change {
    bool links = false;      ///< a port's MAC, MTU, state or existence
    bool addresses = false;  ///< an address of a port
    std::optional<PortIndex> port;
  };
  /// Takes an event; says what it changed for the ports.
  Change on_link(const LinkEntry& link);
  Change on_link_gone(int ifindex);
  Change on_address(const InterfaceAddress& address, bool gone);

  struct Port {
    std::string interface;
    bool exists = false;
    LinkEntry link;
    std::vector<InterfaceAddress> addresses;
    int attached_ifindex = 0;  ///< 0: not there yet
    bool gone = false;         ///< deleted while lbd ran; no longer attached whatever comes back
    bool back = false;         ///< after that, there is an interface of its name again
  };
  /// Moves with whatever changes an answer of this class.
  [[nodiscard]] std::uint64_t revision() const noexcept { return revision_; }
  [[nodiscard]] const std::vector<Port>& ports() const noexcept { return ports_; }
  [[nodiscard]] const Port& port(PortIndex index) const { return ports_[raw(index)]; }
  [[nodiscard]] std::optional<PortIndex> find(std::string_view interface) const;
  [[nodiscard]] std::optional<PortIndex> find(int ifindex) const;

  /// The port whose network holds the address: the longest prefix wins, then the first port.
  /// Link-local addresses and networks that lbd made itself (a VIP) do not count.
  [[nodiscard]] std::optional<PortIndex> port_of(const IpAddr& address) const;
  /// The port towards a real server: `interface` if it is not empty, else port_of(). With a VLAN
  /// tag the kernel does not know the network, so the first port serves when none holds the
  /// address. Errors in words: no such port, an address of the director itself, on no attached
  /// network (which ones there are).
  [[nodiscard]] Result<PortIndex> egress_of(const IpAddr& address, std::string_view interface,
                                            std::uint16_t vlan) const;
  /// Refuses a VIP that is an address of the director itself, on a port or not, unless lbd put it
  /// there: what is sent to it (SSH, BGP, answers to the checks) would be the VIP's from then on.
  [[nodiscard]] Status check_vip(const IpAddr& vip) const;
  /// The kernel has an interface apart from the ports (a VLAN device) on the network of the
  /// address.
  [[nodiscard]] bool kernel_reaches(const IpAddr& address) const;
  /// An address of the port that `peer` would see as its neighbour, or nullopt. IPv6: the
  /// link-local one.
  [[nodiscard]] std::optional<IpAddr> source_for(PortIndex index, const IpAddr& peer) const;
  /// "eth0: 192.168.1.0/24, 2001:db8::/64; eth1: no address".
  [[nodiscard]] std::string describe() const;

 private:
  Port* by_ifindex(int ifindex);
  std::vector<Port> ports_;
  std::uint64_t revision_ = 1;
  std::vector<InterfaceAddress> others_;  // of interfaces that are no ports
};

/// True when the first `prefix_length` bits of both are the same and so are their families.
[[nodiscard]] bool same_network(const IpAddr& a, const IpAddr& b, unsigned prefix_length);

}  // namespace lb
