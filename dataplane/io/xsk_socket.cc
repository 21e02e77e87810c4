// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/xsk_socket.h"

#include <fmt/format.h>
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

std::unexpected<Error> bind_error(int error, const XskOptions& options) {
  auto where = fmt::format("queue {} of {}", options.queue, options.interface);
  switch (error) {
    case EBUSY:
      return fail(error, where + " already has an AF_XDP socket: is another lbd running?");
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
      return fail(error,
                  fmt::format("{} has no {}AF_XDP", where, options.zero_copy ? "zero-copy " : ""));
    case EAFNOSUPPORT:
      return fail(error, "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)");
    case EPERM:
      return fail(error, where +
                             ": no permission for AF_XDP sockets: run as root, or with "
                             "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF");
    case ENODEV:
      return fail(error, fmt::format("{}: no such interface", where));
    case ENETDOWN:
      return fail(error, fmt::format("{}: the interface is down: ip link set dev {} up", where,
                                     options.interface));
    case EINVAL:
      return fail(error, where + ": no such queue, or it does not take an AF_XDP socket");
    default:
      return fail_errno(error, where + ": AF_XDP socket");
  }
}

Kick kick_answer(int error) noexcept {
  switch (error) {
    case EAGAIN:
    case EINTR:
      return Kick::Again;
    case EBUSY:
      return Kick::Busy;
    case ENOBUFS:
    case ENOMEM:
      return Kick::NoBuffers;
    case ENETDOWN:
      return Kick::Down;
    default:
      return Kick::Gone;  // ENXIO: the device went away under the socket
  }
}

void add_statistics(int fd, SocketStats& sum) {
  xdp_statistics values{};
  socklen_t bytes = sizeof values;
  if (fd < 0 || getsockopt(fd, SOL_XDP, XDP_STATISTICS, &values, &bytes) != 0) return;
  sum.rx_dropped += values.rx_dropped;
  sum.rx_invalid_descs += values.rx_invalid_descs;
  sum.tx_invalid_descs += values.tx_invalid_descs;
  sum.rx_ring_full += values.rx_ring_full;
  sum.rx_fill_ring_empty_descs += values.rx_fill_ring_empty_descs;
  sum.tx_ring_empty_descs += values.tx_ring_empty_descs;
}

}  // namespace

Result<std::unique_ptr<XskSocket>> XskSocket::open(const XskOptions& options,
                                                   const FrameMemory& memory,
                                                   std::unique_ptr<Umem>& umem, FramePool& pool) {
  std::unique_ptr<XskSocket> socket(new XskSocket(options));
  bool first = umem == nullptr;
  auto bound = socket->bind(memory, umem, pool);
  if (!bound) {
    socket->tx_socket_.reset();
    socket->rx_socket_.reset();
    if (first) umem.reset();  // it holds this socket's rings
    return std::unexpected(std::move(bound).error());
  }
  return socket;
}

Status XskSocket::bind(const FrameMemory& memory, std::unique_ptr<Umem>& umem, FramePool& pool) {
  bool first = umem == nullptr;
  if (first) {
    LB_TRY_ASSIGN(umem, Umem::create(memory, options_.frame_bytes, options_.fill_ring,
                                     options_.completion_ring, fill_, completion_));
    fill_from(pool);
  }
  bool separate = options_.separate_tx && !options_.zero_copy;
  LB_TRY_ASSIGN(rx_socket_, bind_half(umem->get(), &rx_, separate ? nullptr : &tx_));
  if (!first) fill_from(pool);  // libxdp makes these rings within the bind
  if (separate) {
    LB_TRY_ASSIGN(tx_socket_, bind_half(umem->get(), nullptr, &tx_));
  }
  return tune();
}

Result<XskSocket::Handle> XskSocket::bind_half(xsk_umem* umem, xsk_ring_cons* rx,
                                               xsk_ring_prod* tx) {
  xsk_socket_config config{};
  config.rx_size = options_.rx_ring;
  config.tx_size = options_.tx_ring;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = static_cast<__u16>((options_.zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                         (options_.need_wakeup ? XDP_USE_NEED_WAKEUP : 0));
  int error = 0;
  for (int i = 0; i < kBindTries; ++i) {
    if (i != 0) std::this_thread::sleep_for(kBindPause);
    xsk_socket* socket = nullptr;
    error = -xsk_socket__create_shared(&socket, options_.interface.c_str(), options_.queue, umem,
                                       rx, tx, &fill_, &completion_, &config);
    if (error == 0) return Handle(socket);
    if (error != EBUSY) break;
  }
  return bind_error(error, options_);
}

Status XskSocket::tune() {
  tx_fd_ = xsk_socket__fd(tx_socket_ ? tx_socket_.get() : rx_socket_.get());
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
  add_statistics(fd(), sum);
  if (tx_socket_) add_statistics(tx_fd_, sum);
  sum.fill_level = __atomic_load_n(fill_.producer, __ATOMIC_RELAXED) -
                   __atomic_load_n(fill_.consumer, __ATOMIC_RELAXED);
  return sum;
}

void XskSocket::wake_fill() noexcept {
  // The answer is of no use: nothing is received this way, and a link that is down shows at the
  // kick.
  (void)recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

Kick XskSocket::kick() noexcept {
  if (sendto(tx_fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0) return kick_answer(errno);
  return Kick::Done;
}

std::string why_no_zero_copy(const std::string& interface, std::uint32_t frame_bytes) {
  constexpr std::uint32_t kRing = 64;
  constexpr std::uint32_t kFrames = 4 * kRing;
  auto memory = FrameMemory::map(static_cast<std::size_t>(kFrames) * frame_bytes, false);
  if (!memory) return memory.error().message;
  FramePool pool(kFrames, frame_bytes);
  std::unique_ptr<Umem> umem;
  XskOptions options;
  options.interface = interface;
  options.frame_bytes = frame_bytes;
  options.rx_ring = options.tx_ring = options.fill_ring = options.completion_ring = kRing;
  options.zero_copy = true;
  auto socket = XskSocket::open(options, *memory, umem, pool);
  std::string reason = socket ? "" : std::move(socket.error().message);
  if (socket) socket->reset();
  return reason;
}

}  // namespace lb
