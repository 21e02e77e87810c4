// SPDX-License-Identifier: Apache-2.0
// Netlink on libmnl's message helpers; the sockets are plain ones, so that Fd owns them.
#include "control/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstring>
#include <optional>

namespace lb {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;
constexpr int kEventsBufferBytes = 1 << 20;
constexpr int kDumpRetries = 8;  // a dump that changed while it was read is read again
constexpr int kEventBatchesMax =
    64;  // per readable event, so that a flood does not hold the thread

using Attributes = std::array<const nlattr*, 64>;

int collect(const nlattr* attribute, void* data) {
  auto& attributes = *static_cast<Attributes*>(data);
  std::uint16_t type = mnl_attr_get_type(attribute);
  if (type < attributes.size()) attributes[type] = attribute;
  return MNL_CB_OK;
}

Attributes attributes_of(const nlmsghdr* message, std::size_t header_bytes) {
  Attributes attributes{};
  mnl_attr_parse(message, static_cast<unsigned>(header_bytes), collect, &attributes);
  return attributes;
}

std::optional<IpAddr> read_address(const nlattr* attribute, std::uint8_t family) {
  if (attribute == nullptr) return std::nullopt;
  const void* bytes = mnl_attr_get_payload(attribute);
  std::size_t length = mnl_attr_get_payload_len(attribute);
  if (family == AF_INET && length == 4) return IpAddr::v4(Be32::load(bytes));
  if (family == AF_INET6 && length == 16) return IpAddr::v6(bytes);
  return std::nullopt;
}

bool read_mac(const nlattr* attribute, MacAddr& mac) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != mac.bytes.size()) return false;
  std::memcpy(mac.bytes.data(), mnl_attr_get_payload(attribute), mac.bytes.size());
  return true;
}

template <class Header>
const Header* header_of(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(Header)) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(message));
}

std::optional<LinkEntry> read_link(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr || header->ifi_family != AF_UNSPEC) return std::nullopt;  // a bridge's own
  Attributes attributes = attributes_of(message, sizeof(*header));
  LinkEntry link;
  link.ifindex = header->ifi_index;
  link.up = (header->ifi_flags & IFF_UP) != 0 && (header->ifi_flags & IFF_LOWER_UP) != 0;
  const nlattr* name = attributes[IFLA_IFNAME];
  if (name != nullptr) {
    link.name.assign(static_cast<const char*>(mnl_attr_get_payload(name)),
                     strnlen(mnl_attr_get_str(name), mnl_attr_get_payload_len(name)));
  }
  const nlattr* mtu = attributes[IFLA_MTU];
  if (mtu != nullptr && mnl_attr_get_payload_len(mtu) == 4) link.mtu = mnl_attr_get_u32(mtu);
  read_mac(attributes[IFLA_ADDRESS], link.mac);
  return link;
}

std::optional<InterfaceAddress> read_interface_address(const nlmsghdr* message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) return std::nullopt;
  Attributes attributes = attributes_of(message, sizeof(*header));
  // IFA_LOCAL is the address itself where the link is point-to-point; IPv6 has only IFA_ADDRESS.
  const nlattr* local =
      attributes[IFA_LOCAL] != nullptr ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
  auto address = read_address(local, header->ifa_family);
  if (!address) return std::nullopt;
  InterfaceAddress result{.ifindex = static_cast<int>(header->ifa_index),
                          .address = *address,
                          .prefix_length = header->ifa_prefixlen,
                          .origin = 0};
  const nlattr* origin = attributes[IFA_PROTO];
  if (origin != nullptr && mnl_attr_get_payload_len(origin) == 1) {
    result.origin = mnl_attr_get_u8(origin);
  }
  return result;
}

std::optional<NeighbourEntry> read_neighbour(const nlmsghdr* message) {
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr || (header->ndm_flags & NTF_PROXY) != 0) return std::nullopt;
  Attributes attributes = attributes_of(message, sizeof(*header));
  auto address = read_address(attributes[NDA_DST], header->ndm_family);
  if (!address) return std::nullopt;
  NeighbourEntry entry;
  entry.ifindex = header->ndm_ifindex;
  entry.address = *address;
  entry.state = header->ndm_state;
  entry.has_mac = read_mac(attributes[NDA_LLADDR], entry.mac) && !entry.mac.is_zero() &&
                  (header->ndm_state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP)) == 0;
  return entry;
}

int visit_message(const nlmsghdr* message, void* data) {
  (*static_cast<const std::function<void(const nlmsghdr*)>*>(data))(message);
  return MNL_CB_OK;
}

Result<Fd> open_socket(std::uint32_t groups) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return fail_errno(errno, "netlink socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "netlink bind");
  }
  return fd;
}

/// The head of an address message: everything but the attributes' order is fixed by the kernel.
nlmsghdr* put_address(char* buffer, std::uint16_t type, std::uint16_t flags,
                      const InterfaceAddress& address) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  auto* header = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifaddrmsg)));
  header->ifa_family = address.address.is_v4() ? AF_INET : AF_INET6;
  header->ifa_prefixlen = address.prefix_length;
  header->ifa_scope = RT_SCOPE_UNIVERSE;
  header->ifa_index = static_cast<std::uint32_t>(address.ifindex);
  mnl_attr_put(message, IFA_LOCAL, address.address.size(), address.address.data());
  mnl_attr_put(message, IFA_ADDRESS, address.address.size(), address.address.data());
  return message;
}

nlmsghdr* put_neighbour(char* buffer, std::uint16_t type, std::uint16_t flags, int ifindex,
                        const IpAddr& address) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
  header->ndm_family = address.is_v4() ? AF_INET : AF_INET6;
  header->ndm_ifindex = ifindex;
  mnl_attr_put(message, NDA_DST, address.size(), address.data());
  return message;
}

}  // namespace

std::string neighbour_state_name(std::uint16_t state) {
  switch (state) {
    case NUD_NONE:
      return "none";
    case NUD_INCOMPLETE:
      return "incomplete";
    case NUD_REACHABLE:
      return "reachable";
    case NUD_STALE:
      return "stale";
    case NUD_DELAY:
      return "delay";
    case NUD_PROBE:
      return "probe";
    case NUD_FAILED:
      return "failed";
    case NUD_NOARP:
      return "noarp";
    case NUD_PERMANENT:
      return "permanent";
    default:
      return std::to_string(state);
  }
}

bool parse_netlink_event(const nlmsghdr* message, NetlinkEvent& event) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      auto link = read_link(message);
      if (!link) return false;
      if (message->nlmsg_type == RTM_NEWLINK) {
        event = LinkChanged{.link = std::move(*link)};
      } else {
        event = LinkGone{.ifindex = link->ifindex};
      }
      return true;
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      auto address = read_interface_address(message);
      if (!address) return false;
      event = AddressChanged{.address = *address, .gone = message->nlmsg_type == RTM_DELADDR};
      return true;
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      auto entry = read_neighbour(message);
      if (!entry) return false;
      event = NeighbourChanged{.entry = *entry, .gone = message->nlmsg_type == RTM_DELNEIGH};
      return true;
    }
    default:
      return false;
  }
}

Result<Netlink> Netlink::open() {
  Netlink netlink;
  LB_TRY_ASSIGN(netlink.requests_, open_socket(0));
  LB_TRY_ASSIGN(netlink.events_,
                open_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_NEIGH));
  timeval timeout{.tv_sec = 2, .tv_usec = 0};
  setsockopt(netlink.requests_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  // Past net.core.rmem_max only with CAP_NET_ADMIN; either is good enough, losses are noticed.
  if (setsockopt(netlink.events_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kEventsBufferBytes,
                 sizeof(kEventsBufferBytes)) != 0) {
    setsockopt(netlink.events_.get(), SOL_SOCKET, SO_RCVBUF, &kEventsBufferBytes,
               sizeof(kEventsBufferBytes));
  }
  netlink.buffer_.resize(kBufferBytes);
  return netlink;
}

Status Netlink::transact(nlmsghdr* request, const Visit& visit) {
  request->nlmsg_seq = ++sequence_;
  if (::send(requests_.get(), request, request->nlmsg_len, 0) < 0) {
    return fail_errno(errno, "netlink send");
  }
  // mnl's callback takes a plain pointer; visit outlives the call and is only read.
  void* data = const_cast<void*>(static_cast<const void*>(&visit));
  for (;;) {
    ssize_t bytes = ::recv(requests_.get(), buffer_.data(), buffer_.size(), 0);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) {
      int error = errno == EAGAIN ? ETIMEDOUT : errno;
      return fail_errno(error, "netlink receive");
    }
    int verdict = mnl_cb_run(buffer_.data(), static_cast<std::size_t>(bytes), sequence_, 0,
                             visit_message, data);
    if (verdict == MNL_CB_STOP) return {};
    // EPROTO: an answer to an earlier request that had timed out.
    if (verdict < 0 && errno != EPROTO) {
      int error = errno;
      return fail(error, std::error_code(error, std::system_category()).message());
    }
  }
}

Status Netlink::dump(std::uint16_t type, std::uint8_t family, const Visit& visit) {
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  // ifinfomsg is as large as ndmsg and larger than ifaddrmsg and rtgenmsg; zero means: everything.
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  static_assert(sizeof(ifinfomsg) >= sizeof(ndmsg) && sizeof(ifinfomsg) >= sizeof(ifaddrmsg));
  header->ifi_family = family;
  return transact(request, visit);
}

namespace {
template <class T, class Read, class Dump>
Result<std::vector<T>> dump_all(const char* what, const Dump& dump, const Read& read) {
  for (int attempt = 0;; ++attempt) {
    std::vector<T> all;
    Status done = dump([&](const nlmsghdr* message) {
      if (auto item = read(message)) all.push_back(std::move(*item));
    });
    if (done) return all;
    if (done.error().code.value() != EINTR || attempt == kDumpRetries) {
      return fail_in(std::string("reading ") + what + " from the kernel", std::move(done).error());
    }
  }
}
}  // namespace

Result<std::vector<LinkEntry>> Netlink::links() {
  return dump_all<LinkEntry>(
      "links", [this](const Visit& visit) { return dump(RTM_GETLINK, AF_UNSPEC, visit); },
      read_link);
}

Result<std::vector<InterfaceAddress>> Netlink::addresses() {
  return dump_all<InterfaceAddress>(
      "addresses", [this](const Visit& visit) { return dump(RTM_GETADDR, AF_UNSPEC, visit); },
      read_interface_address);
}

Result<std::vector<NeighbourEntry>> Netlink::neighbours() {
  return dump_all<NeighbourEntry>(
      "neighbours", [this](const Visit& visit) { return dump(RTM_GETNEIGH, AF_UNSPEC, visit); },
      read_neighbour);
}

Status Netlink::add_address(const InterfaceAddress& address) {
  std::array<char, 512> buffer{};
  nlmsghdr* request = put_address(buffer.data(), RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address);
  if (address.origin != 0) mnl_attr_put_u8(request, IFA_PROTO, address.origin);
  if (!address.address.is_v4()) {
    mnl_attr_put_u32(request, IFA_FLAGS, IFA_F_NODAD);
    ifa_cacheinfo lifetime{};
    lifetime.ifa_prefered = 0;
    lifetime.ifa_valid = 0xffffffff;
    mnl_attr_put(request, IFA_CACHEINFO, sizeof(lifetime), &lifetime);
  }
  return transact(request, [](const nlmsghdr*) {});
}

Status Netlink::remove_address(const InterfaceAddress& address) {
  std::array<char, 512> buffer{};
  nlmsghdr* request = put_address(buffer.data(), RTM_DELADDR, 0, address);
  return transact(request, [](const nlmsghdr*) {});
}

Result<std::optional<NeighbourEntry>> Netlink::neighbour(int ifindex, const IpAddr& address) {
  std::array<char, 512> buffer{};
  nlmsghdr* request = put_neighbour(buffer.data(), RTM_GETNEIGH, 0, ifindex, address);
  std::optional<NeighbourEntry> entry;
  Status done =
      transact(request, [&](const nlmsghdr* message) { entry = read_neighbour(message); });
  if (!done && done.error().code.value() != ENOENT) return std::unexpected(std::move(done).error());
  return entry;
}

Status Netlink::probe(int ifindex, const IpAddr& address) {
  std::array<char, 512> buffer{};
  nlmsghdr* request = put_neighbour(buffer.data(), RTM_NEWNEIGH, NLM_F_CREATE, ifindex, address);
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_get_payload(request));
  header->ndm_state = NUD_NONE;
  header->ndm_flags = NTF_USE;
  return transact(request, [](const nlmsghdr*) {});
}

Result<std::vector<NetlinkEvent>> Netlink::read_events() {
  std::vector<NetlinkEvent> events;
  for (int batch = 0; batch < kEventBatchesMax; ++batch) {
    ssize_t bytes = ::recv(events_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (bytes < 0) {
      if (errno == EAGAIN) return events;
      if (errno == EINTR) continue;
      if (errno != ENOBUFS) return fail_errno(errno, "netlink events");
      events.emplace_back(EventsLost{});
      continue;
    }
    int left = static_cast<int>(bytes);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      NetlinkEvent event;
      if (parse_netlink_event(message, event)) events.push_back(std::move(event));
    }
  }
  return events;
}

}  // namespace lb
