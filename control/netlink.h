// SPDX-License-Identifier: Apache-2.0
// Netlink: rtnetlink over libmnl: links, addresses, neighbours, and the events that change them.
// Used by Director's thread. A request waits at most two seconds for the kernel; events are read
// when events_fd() is readable (Director puts it into Asio). Keeps no state: Networks and
// NeighbourResolver do.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/base/addr.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

struct nlmsghdr;

namespace lb {

struct LinkEntry {
  int ifindex = 0;
  std::string name;
  MacAddr mac;
  std::uint32_t mtu = 0;
  bool up = false;  ///< administratively up and with carrier
};

struct InterfaceAddress {
  int ifindex = 0;
  IpAddr address;
  std::uint8_t prefix_length = 0;
  std::uint8_t origin = 0;  ///< IFA_PROTO: kVipMarker on what lbd has put there; 0 when not given
  friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct NeighbourEntry {
  int ifindex = 0;
  IpAddr address;
  MacAddr mac;
  bool has_mac = false;
  std::uint16_t state = 0;  ///< NUD_* of linux/neighbour.h
};
/// "reachable", "stale", "failed" ...: the name of an NUD_* state as ip(8) prints it, in lower
/// case.
[[nodiscard]] std::string neighbour_state_name(std::uint16_t state);

struct LinkChanged {
  LinkEntry link;
};
struct LinkGone {
  int ifindex;
};
struct AddressChanged {
  InterfaceAddress address;
  bool gone;
};
struct NeighbourChanged {
  NeighbourEntry entry;
  bool gone;
};
/// The kernel dropped events (the socket's buffer was full): read everything again.
struct EventsLost {};
using NetlinkEvent =
    std::variant<LinkChanged, LinkGone, AddressChanged, NeighbourChanged, EventsLost>;

/// Reads one rtnetlink message as an event; false when it is none of interest or malformed.
[[nodiscard]] bool parse_netlink_event(const nlmsghdr* message, NetlinkEvent& event);

class Netlink {
 public:
  /// Errors: the socket cannot be made.
  [[nodiscard]] static Result<Netlink> open();

  [[nodiscard]] Result<std::vector<LinkEntry>> links();
  [[nodiscard]] Result<std::vector<InterfaceAddress>> addresses();
  [[nodiscard]] Result<std::vector<NeighbourEntry>> neighbours();
  /// One entry, or nullopt when the kernel has none.
  [[nodiscard]] Result<std::optional<NeighbourEntry>> neighbour(int ifindex, const IpAddr& address);

  /// Adds an address of full prefix length, marked with `address.origin`; IPv6 without duplicate
  /// address detection and with preferred lifetime 0, so that it is never taken as a source. EEXIST
  /// when it is there already.
  [[nodiscard]] Status add_address(const InterfaceAddress& address);
  [[nodiscard]] Status remove_address(const InterfaceAddress& address);
  /// Makes the kernel resolve the neighbour now (RTM_NEWNEIGH with NTF_USE); the answer comes as an
  /// event.
  [[nodiscard]] Status probe(int ifindex, const IpAddr& address);

  [[nodiscard]] int events_fd() const noexcept { return events_.get(); }
  /// The events that are waiting (some thousands at most; more make the descriptor readable again);
  /// never blocks.
  [[nodiscard]] Result<std::vector<NetlinkEvent>> read_events();

 private:
  using Visit = std::function<void(const nlmsghdr*)>;
  Netlink() = default;
  Status transact(nlmsghdr* request, const Visit& visit);
  Status dump(std::uint16_t type, std::uint8_t family, const Visit& visit);

  Fd requests_, events_;
  std::uint32_t sequence_ = 0;
  std::vector<char> buffer_;
};

}  // namespace lb
