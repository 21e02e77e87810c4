// SPDX-License-Identifier: Apache-2.0
// VipAddresses: the difference between what is on the ports and what should be.
#include "control/vip_address.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "control/vip_marker.h"
#include "dataplane/base/log.h"

namespace lb {
namespace {
const InterfaceAddress* find_on(const Networks::Port& port, const IpAddr& vip) {
  auto found = std::ranges::find(port.addresses, vip, &InterfaceAddress::address);
  return found == port.addresses.end() ? nullptr : &*found;
}
}  // namespace

InterfaceAddress VipAddresses::on_port(PortIndex port, const IpAddr& vip) const {
  return {.ifindex = networks_.port(port).link.ifindex,
          .address = vip,
          .prefix_length = static_cast<std::uint8_t>(vip.size() * 8),
          .origin = kVipMarker};
}

void VipAddresses::complain(const IpAddr& vip, const std::string& message) {
  if (complained_.insert(vip).second) spdlog::warn("VIP {}: {}", vip.to_string(), message);
}

void VipAddresses::apply(const std::map<IpAddr, VipOwner>& vips) {
  if (networks_.ports().empty()) return;
  remove_leftovers(vips);
  for (const auto& [vip, owner] : vips) {
    if (owner != VipOwner::Lbd) continue;
    PortIndex port = networks_.port_of(vip).value_or(PortIndex{});
    auto own = own_.find(vip);
    if (own != own_.end() && own->second.port != port) {  // its network has moved to another port
      take_off(own->second.port, vip);
      own_.erase(own);
    }
    if (networks_.port(port).exists) put(port, vip);
  }
}

void VipAddresses::put(PortIndex port, const IpAddr& vip) {
  const InterfaceAddress* present = find_on(networks_.port(port), vip);
  auto own = own_.find(vip);
  if (present != nullptr) {
    if (own != own_.end()) return;
    if (present->origin != kVipMarker) {
      complain(vip, "it is on " + networks_.port(port).interface +
                        " already; left as it is, lbd will not remove it");
      return;
    }
    // Left by an lbd that died, and still wanted.
  } else if (Status added = hooks_.add(on_port(port, vip)); !added) {
    // EEXIST with one of our own: the event of the last time has not come yet; ENODEV: that of the
    // port's end.
    int error = added.error().code.value();
    if (error != ENODEV && (error != EEXIST || own == own_.end())) {
      complain(vip,
               "cannot put it on " + networks_.port(port).interface + ": " + added.error().message);
    }
    return;
  }
  complained_.erase(vip);
  own_[vip] = {.port = port, .announcements_left = kAnnouncements - 1};
  if (hooks_.announce) hooks_.announce(port, vip);
}

void VipAddresses::take_off(PortIndex port, const IpAddr& vip) {
  if (!networks_.port(port).exists) return;
  Status removed = hooks_.remove(on_port(port, vip));
  int error = removed ? 0 : removed.error().code.value();
  if (error != 0 && error != EADDRNOTAVAIL && error != ENODEV) {
    spdlog::warn("VIP {}: cannot take it off {}: {}", vip.to_string(),
                 networks_.port(port).interface, removed.error().message);
  }
}

void VipAddresses::remove_leftovers(const std::map<IpAddr, VipOwner>& vips) {
  auto wanted = [&](const IpAddr& vip) {
    auto found = vips.find(vip);
    return found != vips.end() && found->second == VipOwner::Lbd;
  };
  std::set<std::pair<PortIndex, IpAddr>> leaving;
  for (const auto& [vip, own] : own_) {
    if (!wanted(vip)) leaving.emplace(own.port, vip);
  }
  for (std::size_t i = 0; i < networks_.ports().size(); ++i) {
    for (const InterfaceAddress& address : networks_.ports()[i].addresses) {
      if (address.origin == kVipMarker && !wanted(address.address)) {
        leaving.emplace(static_cast<PortIndex>(i), address.address);
      }
    }
  }
  for (const auto& [port, vip] : leaving) {
    take_off(port, vip);
    own_.erase(vip);
    complained_.erase(vip);
  }
}

void VipAddresses::tick() {
  for (auto& [vip, own] : own_) {
    if (own.announcements_left == 0) continue;
    --own.announcements_left;
    if (hooks_.announce) hooks_.announce(own.port, vip);
  }
}

void VipAddresses::announce_again(PortIndex port) {
  for (auto& [vip, own] : own_) {
    if (own.port == port) own.announcements_left = kAnnouncements;
  }
}

void VipAddresses::remove_all() {
  for (const auto& [vip, own] : own_) take_off(own.port, vip);
  own_.clear();
}

}  // namespace lb
