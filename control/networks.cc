// SPDX-License-Identifier: Apache-2.0
// Networks: the questions about ports that real servers and VIPs raise.
#include "control/networks.h"

#include <algorithm>
#include <cstring>

#include "control/vip_marker.h"

namespace lb {
namespace {

IpAddr network_address(const IpAddr& address, unsigned prefix_length) {
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), address.data(), address.size());
  for (std::size_t i = 0; i < address.size(); ++i) {
    unsigned bits =
        std::clamp<int>(static_cast<int>(prefix_length) - static_cast<int>(i * 8), 0, 8);
    bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00U >> bits));
  }
  return address.is_v4() ? IpAddr::v4(Be32::load(bytes.data())) : IpAddr::v6(bytes.data());
}

/// A network that neighbours can be on.
bool is_network(const InterfaceAddress& address) {
  return address.origin != kVipMarker && address.prefix_length < address.address.size() * 8 &&
         !(!address.address.is_v4() && address.address.is_link_local());
}

}  // namespace

bool same_network(const IpAddr& a, const IpAddr& b, unsigned prefix_length) {
  return a.family() == b.family() &&
         network_address(a, prefix_length) == network_address(b, prefix_length);
}

Networks::Networks(std::vector<std::string> interfaces) {
  for (auto& interface : interfaces) {
    Port port;
    port.interface = std::move(interface);
    ports_.push_back(std::move(port));
  }
}

void Networks::reset(const std::vector<LinkEntry>& links,
                     const std::vector<InterfaceAddress>& addresses) {
  for (Port& port : ports_) {
    port.exists = false;
    port.link = {};
    port.addresses.clear();
  }
  others_.clear();
  ++revision_;
  for (const LinkEntry& link : links) on_link(link);
  for (Port& port : ports_) {
    if (port.exists || port.gone || port.attached_ifindex == 0) continue;
    port.gone = true;  // unheard, as the events were lost
    port.back = std::ranges::find(links, port.interface, &LinkEntry::name) != links.end();
  }
  for (const InterfaceAddress& address : addresses) on_address(address, false);
}

Networks::Port* Networks::by_ifindex(int ifindex) {
  auto found = std::ranges::find_if(
      ports_, [&](const Port& port) { return port.exists && port.link.ifindex == ifindex; });
  return found == ports_.end() ? nullptr : &*found;
}

Networks::Change Networks::on_link(const LinkEntry& link) {
  // By index once it is known: a port may be renamed, and another device may take its name.
  auto found = std::ranges::find_if(ports_, [&](const Port& port) {
    return port.attached_ifindex == 0 ? port.interface == link.name
                                      : port.attached_ifindex == link.ifindex;
  });
  if (found == ports_.end() || found->gone) {
    for (Port& port : ports_) port.back |= port.gone && port.interface == link.name;
    return {};
  }
  Port& port = *found;
  bool same = port.exists && port.link.mac == link.mac && port.link.mtu == link.mtu &&
              port.link.up == link.up;
  port.attached_ifindex = link.ifindex;
  port.exists = true;
  port.link = link;
  if (!same) ++revision_;
  return {
      .links = !same, .addresses = false, .port = static_cast<PortIndex>(found - ports_.begin())};
}

Networks::Change Networks::on_link_gone(int ifindex) {
  Port* port = by_ifindex(ifindex);
  if (port == nullptr) return {};
  port->exists = false;
  port->gone = true;
  port->link = {};
  port->addresses.clear();
  ++revision_;
  return {.links = true, .addresses = true, .port = static_cast<PortIndex>(port - ports_.data())};
}

Networks::Change Networks::on_address(const InterfaceAddress& address, bool gone) {
  Port* port = by_ifindex(address.ifindex);
  std::vector<InterfaceAddress>& list = port != nullptr ? port->addresses : others_;
  Change change;
  if (port != nullptr) change.port = static_cast<PortIndex>(port - ports_.data());
  auto known = std::ranges::find_if(list, [&](const InterfaceAddress& other) {
    return other.ifindex == address.ifindex && other.address == address.address &&
           other.prefix_length == address.prefix_length;
  });
  if (gone) {
    if (known == list.end()) return change;
    list.erase(known);
  } else if (known == list.end()) {
    list.push_back(address);
  } else if (*known == address) {
    return change;
  } else {
    *known = address;
  }
  ++revision_;
  change.addresses = port != nullptr;
  return change;
}

std::optional<PortIndex> Networks::find(std::string_view interface) const {
  auto found = std::ranges::find(ports_, interface, &Port::interface);
  if (found == ports_.end()) return std::nullopt;
  return static_cast<PortIndex>(found - ports_.begin());
}

std::optional<PortIndex> Networks::find(int ifindex) const {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].exists && ports_[i].link.ifindex == ifindex) return static_cast<PortIndex>(i);
  }
  return std::nullopt;
}

std::optional<PortIndex> Networks::port_of(const IpAddr& address) const {
  std::optional<PortIndex> best;
  int best_length = -1;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    for (const InterfaceAddress& own : ports_[i].addresses) {
      if (is_network(own) && own.prefix_length > best_length &&
          same_network(own.address, address, own.prefix_length)) {
        best = static_cast<PortIndex>(i);
        best_length = own.prefix_length;
      }
    }
  }
  return best;
}

Result<PortIndex> Networks::egress_of(const IpAddr& address, std::string_view interface,
                                      std::uint16_t vlan) const {
  for (const Port& port : ports_) {
    for (const InterfaceAddress& own : port.addresses) {
      if (own.address == address && vlan == 0) {
        return fail(EINVAL, "real server " + address.to_string() +
                                " is an address of the director itself (" + port.interface +
                                "); in DR mode a real server is another machine");
      }
    }
  }
  if (!interface.empty()) {
    auto named = find(interface);
    if (named) return *named;
    return fail(EINVAL, "real server " + address.to_string() + ": port " + std::string(interface) +
                            " is not attached; the ports are " + describe());
  }
  if (auto holder = port_of(address)) return *holder;
  if (vlan != 0 && !ports_.empty()) return PortIndex{};
  return fail(ENETUNREACH,
              "real server " + address.to_string() + " is on no attached network (" + describe() +
                  "); in DR mode it must be a neighbour: give the port an address of its "
                  "network, or name the port (--port)");
}

Status Networks::check_vip(const IpAddr& vip) const {
  auto refuse_if_in = [&](const std::vector<InterfaceAddress>& list,
                          const std::string& where) -> Status {
    bool taken = std::ranges::any_of(list, [&](const InterfaceAddress& own) {
      return own.address == vip && own.origin != kVipMarker;
    });
    if (!taken) return {};
    return fail(EADDRINUSE,
                vip.to_string() + " is an address of the director itself (" + where +
                    "): as a VIP it would take SSH, routing and the answers to health checks away "
                    "from it; choose another address, take this one off the interface, or say "
                    "vip_owner \"external\" when something else puts the VIP there");
  };
  for (const Port& port : ports_) LB_TRY(refuse_if_in(port.addresses, port.interface));
  return refuse_if_in(others_, "on an interface that is no port");
}

bool Networks::kernel_reaches(const IpAddr& address) const {
  return std::ranges::any_of(others_, [&](const InterfaceAddress& own) {
    return is_network(own) && same_network(own.address, address, own.prefix_length);
  });
}

std::optional<IpAddr> Networks::source_for(PortIndex index, const IpAddr& peer) const {
  for (const InterfaceAddress& own : ports_[raw(index)].addresses) {
    if (own.address.family() != peer.family() || own.origin == kVipMarker) continue;
    bool fits = peer.is_v4() ? is_network(own) && same_network(own.address, peer, own.prefix_length)
                             : own.address.is_link_local();
    if (fits) return own.address;
  }
  return std::nullopt;
}

std::string Networks::describe() const {
  std::string text;
  for (const Port& port : ports_) {
    if (!text.empty()) text += "; ";
    text += port.interface + ": ";
    std::string networks;
    for (const InterfaceAddress& own : port.addresses) {
      if (!is_network(own)) continue;
      if (!networks.empty()) networks += ", ";
      networks += network_address(own.address, own.prefix_length).to_string() + "/" +
                  std::to_string(own.prefix_length);
    }
    text += networks.empty() ? (port.exists ? "no address" : "no such interface") : networks;
  }
  return text;
}

}  // namespace lb
