// SPDX-License-Identifier: Apache-2.0
// PacketSocket: the socket options and the classic BPF filters.
#include "control/packet_socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace lb {
namespace {

constexpr std::size_t kFrameBytesMax =
    256;  // the answers are at most 90 bytes; longer ones are cut
constexpr std::uint32_t kVlanPresent =
    static_cast<std::uint32_t>(SKF_AD_OFF) + SKF_AD_VLAN_TAG_PRESENT;
constexpr std::uint32_t kAccept = kFrameBytesMax;

constexpr sock_filter load(std::uint16_t size, std::uint32_t offset) {
  return {static_cast<std::uint16_t>(BPF_LD | BPF_ABS | size), 0, 0, offset};
}
constexpr sock_filter unless_equal_skip(std::uint32_t value, std::uint8_t skip) {
  return {BPF_JMP | BPF_JEQ | BPF_K, 0, skip, value};
}
constexpr sock_filter verdict(std::uint32_t bytes) { return {BPF_RET | BPF_K, 0, 0, bytes}; }

// Offsets count from the Ethernet header; the kernel has taken the tag out by then. A socket of one
// protocol would see these frames without their tag: it is forgotten just before, where there is no
// VLAN device.
constexpr std::array kTaggedArp{load(BPF_W, kVlanPresent), unless_equal_skip(1, 3),
                                load(BPF_H, 12),           unless_equal_skip(ETH_P_ARP, 1),
                                verdict(kAccept),          verdict(0)};
constexpr std::array kTaggedAdvertisement{
    load(BPF_W, kVlanPresent), unless_equal_skip(1, 7),
    load(BPF_H, 12),           unless_equal_skip(ETH_P_IPV6, 5),
    load(BPF_B, 14 + 6),       unless_equal_skip(58, 3),
    load(BPF_B, 14 + 40),      unless_equal_skip(136, 1),
    verdict(kAccept),          verdict(0)};

Status attach(int fd, std::span<const sock_filter> filter) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.size());
  program.filter = const_cast<sock_filter*>(filter.data());
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) {
    return fail_errno(errno, "packet socket: filter");
  }
  return {};
}

Result<Fd> open_raw() {
  // Protocol 0 receives nothing until bind names one, so no frame slips in before the filter.
  Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    int error = errno;
    return fail_errno(error,
                      error == EPERM ? "packet socket (needs CAP_NET_RAW)" : "packet socket");
  }
  return fd;
}

Status bind_to(int fd, int ifindex, std::uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = ifindex;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "packet socket: bind");
  }
  return {};
}

}  // namespace

Result<PacketSocket> PacketSocket::sender() {
  LB_TRY_ASSIGN(Fd fd, open_raw());
  return PacketSocket(std::move(fd), 0);
}

Result<PacketSocket> PacketSocket::tagged_answers(int ifindex, Family family) {
  LB_TRY_ASSIGN(Fd fd, open_raw());
  int on = 1;
  if (setsockopt(fd.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) != 0) {
    return fail_errno(errno, "packet socket: auxdata");
  }
  if (family == Family::V4) {
    LB_TRY(attach(fd.get(), kTaggedArp));
  } else {
    LB_TRY(attach(fd.get(), kTaggedAdvertisement));
  }
  // What the host itself sends is of no interest; older kernels filter it like the rest.
  (void)setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
  LB_TRY(bind_to(fd.get(), ifindex, ETH_P_ALL));
  return PacketSocket(std::move(fd), ifindex);
}

Status PacketSocket::send_by(int ifindex, std::span<const std::uint8_t> frame) const {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = ifindex;
  ssize_t sent = ::sendto(fd_.get(), frame.data(), frame.size(), 0,
                          reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (sent < 0) return fail_errno(errno, "packet socket: send");
  return {};
}

Result<std::optional<PacketSocket::Received>> PacketSocket::receive() const {
  Received received;
  received.frame.resize(kFrameBytesMax);
  iovec data{.iov_base = received.frame.data(), .iov_len = received.frame.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(tpacket_auxdata))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t bytes = ::recvmsg(fd_.get(), &message, 0);
  if (bytes < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    return fail_errno(errno, "packet socket: receive");
  }
  received.frame.resize(static_cast<std::size_t>(bytes));
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr;
       item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_PACKET || item->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata auxiliary{};
    std::memcpy(&auxiliary, CMSG_DATA(item), sizeof(auxiliary));
    if ((auxiliary.tp_status & TP_STATUS_VLAN_VALID) != 0)
      received.vlan = auxiliary.tp_vlan_tci & 0xfff;
  }
  return received;
}

}  // namespace lb
