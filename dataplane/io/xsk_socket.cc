// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/xsk_socket.h"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

namespace lb {
namespace {

// Newer than Debian 12's kernel headers (include/uapi/linux/if_xdp.h, asm-generic/socket.h).
constexpr int kXdpMaxTxSkbBudget = 9;
constexpr int kSoPreferBusyPoll = 69;
constexpr int kSoBusyPollBudget = 70;
/// Bytes of sk_buffs under way that a copy-mode socket may own; the default of 208 kB is 270 small
/// frames.
constexpr int kSendBufferBytes = 4 << 20;
/// The kernel frees a queue some time after its last socket was closed.
constexpr int kBindTries = 100;
constexpr std::chrono::milliseconds kBindPause{10};

std::string where(const XskOptions& options) {
  return fmt::format("queue {} of {}", options.queue, options.interface);
}

std::unexpected<Error> socket_error(int error, const XskOptions& options) {
  auto place = where(options);
  switch (error) {
    case EBUSY:
      return fail(error, place + " already has an AF_XDP socket: is another lbd running?");
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
      return fail(error,
                  fmt::format("{} has no {}AF_XDP", place, options.zero_copy ? "zero-copy " : ""));
    case EAFNOSUPPORT:
      return fail(error, "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)");
    case EPERM:
      return fail(error, place +
                             ": no permission for AF_XDP sockets: run as root, or with "
                             "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF");
    case ENODEV:
      return fail(error, fmt::format("{}: no such interface", place));
    case ENETDOWN:
      return fail(error, fmt::format("{}: the interface is down: ip link set dev {} up", place,
                                     options.interface));
    case EINVAL:
      return fail(error, place + ": no such queue, or it does not take an AF_XDP socket");
    default:
      return fail_errno(error, place + ": AF_XDP socket");
  }
}

xdp_statistics statistics_of(int fd) {
  xdp_statistics values{};
  socklen_t bytes = sizeof values;
  if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &values, &bytes) != 0) return {};
  return values;
}

/// How full a ring is, whichever side we are; both indices are shared with the kernel and go on
/// meanwhile. The consumer's is read first, so that it is never ahead.
template <class Ring>
SocketStats::Ring level_of(const Ring& ring) {
  const std::uint32_t consumer = __atomic_load_n(ring.consumer, __ATOMIC_ACQUIRE);
  const std::uint32_t producer = __atomic_load_n(ring.producer, __ATOMIC_RELAXED);
  return {.level = std::min(producer - consumer, ring.size), .size = ring.size};
}

}  // namespace

Kick kick_answer(int error, bool zero_copy) noexcept {
  switch (error) {
    case EAGAIN:
    case EINTR:
      return Kick::Again;
    case EBUSY:
      return Kick::Busy;
    case ENOBUFS:
    case ENOMEM:
      return Kick::NoBuffers;
    case ENODEV:
      return Kick::Gone;
    case ENXIO:
      // From the kernel's core: the device went away under the socket. From a driver's wakeup: its
      // queues are being made anew, and netlink tells if it is more than that.
      return zero_copy ? Kick::Down : Kick::Gone;
    default:
      return Kick::Down;  // ENETDOWN, and what drivers answer in the middle of a reset
  }
}

bool unexpected_kick_error(int error) noexcept {
  return kick_answer(error, true) == Kick::Down && error != ENETDOWN && error != ENXIO;
}

Result<std::unique_ptr<XskSocket>> XskSocket::open(const XskOptions& options, Umem& umem,
                                                   FramePool& pool) {
  std::unique_ptr<XskSocket> xsk(new XskSocket(options));
  xsk->rx_socket_.reset(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!xsk->rx_socket_) return socket_error(errno, options);
  if (options.separate_tx && !options.zero_copy) {
    xsk->tx_socket_.reset(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!xsk->tx_socket_) return socket_error(errno, options);
  }
  xsk->tx_fd_ = xsk->tx_socket_ ? xsk->tx_socket_.get() : xsk->rx_socket_.get();
  if (auto made = xsk->make_rings(umem, pool); !made) {
    return fail_in(where(options), std::move(made).error());
  }
  LB_TRY(xsk->bind(umem));
  LB_TRY(xsk->tune());
  return xsk;
}

Status XskSocket::make_rings(Umem& umem, FramePool& pool) {
  if (umem.socket_fd() < 0) LB_TRY(umem.register_with(fd(), options_.frame_bytes));
  LB_TRY_ASSIGN(auto fill, make_fill_ring(fd(), options_.fill_ring));
  LB_TRY_ASSIGN(auto completion, make_completion_ring(fd(), options_.completion_ring));
  LB_TRY_ASSIGN(auto rx, make_rx_ring(fd(), options_.rx_ring));
  LB_TRY_ASSIGN(auto tx, make_tx_ring(tx_fd_, options_.tx_ring));
  fill_ = fill.ring;
  completion_ = completion.ring;
  rx_ = rx.ring;
  tx_ = tx.ring;
  fill_memory_ = std::move(fill.mapping);
  completion_memory_ = std::move(completion.mapping);
  rx_memory_ = std::move(rx.mapping);
  tx_memory_ = std::move(tx.mapping);
  fill_from(pool);
  return {};
}

Status XskSocket::bind(const Umem& umem) {
  LB_TRY(bind_one(fd(), umem.socket_fd() == fd() ? -1 : umem.socket_fd()));
  if (tx_socket_) return bind_one(tx_fd_, fd());
  return {};
}

Status XskSocket::bind_one(int socket_fd, int shared_fd) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = if_nametoindex(options_.interface.c_str());
  address.sxdp_queue_id = options_.queue;
  if (shared_fd >= 0) {  // mode and wakeups are those of the socket that is shared with
    address.sxdp_flags = XDP_SHARED_UMEM;
    address.sxdp_shared_umem_fd = static_cast<__u32>(shared_fd);
  } else {
    address.sxdp_flags = static_cast<__u16>((options_.zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                            (options_.need_wakeup ? XDP_USE_NEED_WAKEUP : 0));
  }
  for (int i = 0; i < kBindTries; ++i) {
    if (i != 0) std::this_thread::sleep_for(kBindPause);
    if (::bind(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return {};
    }
    if (errno != EBUSY) break;
  }
  return socket_error(errno, options_);
}

Status XskSocket::tune() {
  xdp_options in_force{};
  socklen_t bytes = sizeof in_force;
  if (getsockopt(fd(), SOL_XDP, XDP_OPTIONS, &in_force, &bytes) == 0) {
    zero_copy_ = (in_force.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  }
  need_wakeup_ = options_.need_wakeup;
  // Best effort: an older kernel sends 32 frames a call, and the kick loops.
  std::uint32_t budget = std::min(options_.tx_budget, options_.tx_ring);
  if (!zero_copy_) {
    setsockopt(tx_fd_, SOL_XDP, kXdpMaxTxSkbBudget, &budget, sizeof budget);
    setsockopt(tx_fd_, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof kSendBufferBytes);
  }
  if (options_.busy_poll_us == 0) return {};
  const std::array<std::pair<int, int>, 3> busy = {{
      {kSoPreferBusyPoll, 1},
      {SO_BUSY_POLL, static_cast<int>(options_.busy_poll_us)},
      {kSoBusyPollBudget, static_cast<int>(options_.busy_poll_budget)},
  }};
  for (auto [option, value] : busy) {
    if (setsockopt(fd(), SOL_SOCKET, option, &value, sizeof value) != 0) {
      return fail_errno(errno, fmt::format("queue {} of {}: busy polling (kernel >= 5.11, "
                                           "CAP_NET_ADMIN)",
                                           options_.queue, options_.interface));
    }
  }
  busy_poll_ = true;
  return {};
}

void XskSocket::fill_from(FramePool& pool) noexcept {
  std::uint32_t n = std::min(fill_room(), pool.free_frames());
  fill(n, [&]() noexcept { return pool.address(pool.take(FrameOwner::Fill)); });
  pool.count(FrameOwner::Free, FrameOwner::Fill, n);
}

SocketStats XskSocket::stats() const {
  SocketStats sum;
  sum.interface = options_.interface;
  sum.zero_copy = zero_copy_;
  const xdp_statistics rx = statistics_of(fd());
  sum.rx_dropped = rx.rx_dropped;
  sum.rx_invalid_descs = rx.rx_invalid_descs;
  sum.rx_ring_full = rx.rx_ring_full;
  sum.rx_fill_ring_empty_descs = rx.rx_fill_ring_empty_descs;
  // The transmitting socket shares FILL: what it says of receiving is said already.
  const xdp_statistics tx = tx_socket_ ? statistics_of(tx_fd_) : rx;
  sum.tx_invalid_descs = tx.tx_invalid_descs;
  sum.tx_ring_empty_descs = tx.tx_ring_empty_descs;
  sum.rx = level_of(rx_);
  sum.tx = level_of(tx_);
  sum.fill = level_of(fill_);
  sum.completion = level_of(completion_);
  sum.tx_refused = tx_refused_.get();
  sum.tx_error = tx_error_.load(std::memory_order_relaxed);
  return sum;
}

void XskSocket::wake_fill() noexcept {
  // The answer is of no use: nothing is received this way, and a link that is down shows at the
  // kick.
  (void)recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

Kick XskSocket::kick() noexcept {
  if (sendto(tx_fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0) {
    const int error = errno;
    if (unexpected_kick_error(error)) [[unlikely]] {
      tx_refused_.add();
      tx_error_.store(error, std::memory_order_relaxed);
    }
    return kick_answer(error, zero_copy_);
  }
  return Kick::Done;
}

}  // namespace lb
