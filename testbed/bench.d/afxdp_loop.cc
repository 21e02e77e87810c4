// SPDX-License-Identifier: Apache-2.0
// AfxdpLoop: set-up over libxdp, and the loop.
#include "testbed/bench.d/afxdp_loop.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lb::bench {

namespace {

constexpr int kXdpMaxTxSkbBudget = 9;  // linux/if_xdp.h of kernel 6.17
constexpr int kKickTries = 64;
constexpr int kIdlePollMs = 50;

void swap_macs(void* frame) {
  unsigned char first[6];
  auto* bytes = static_cast<unsigned char*>(frame);
  std::memcpy(first, bytes, 6);
  std::memcpy(bytes, bytes + 6, 6);
  std::memcpy(bytes + 6, first, 6);
}

}  // namespace

AfxdpLoop::~AfxdpLoop() {
  if (epoll_ >= 0) ::close(epoll_);
  if (tx_socket_ != nullptr && tx_socket_ != rx_socket_) xsk_socket__delete(tx_socket_);
  if (rx_socket_ != nullptr) xsk_socket__delete(rx_socket_);
  if (umem_ != nullptr) xsk_umem__delete(umem_);
}

Result<std::unique_ptr<AfxdpLoop>> AfxdpLoop::open(const LoopOptions& options) {
  std::unique_ptr<AfxdpLoop> self(new AfxdpLoop(options));
  LB_TRY(self->make_umem());
  LB_TRY(self->make_sockets());
  self->fill_rings();
  return self;
}

Status AfxdpLoop::make_umem() {
  const std::size_t bytes = std::size_t{options_.frames} * options_.frame_bytes;
  LB_TRY_ASSIGN(memory_, MappedMemory::create(bytes));
  xsk_umem_config config{};
  config.fill_size = options_.umem_ring;
  config.comp_size = options_.umem_ring;
  config.frame_size = options_.frame_bytes;
  const int error =
      xsk_umem__create(&umem_, memory_.data(), bytes, &in_.fill, &in_.completion, &config);
  if (error != 0) return fail_errno(-error, "UMEM");
  free_.reserve(options_.frames);
  for (std::uint32_t i = 0; i < options_.frames; ++i) {
    free_.push_back(std::uint64_t{i} * options_.frame_bytes);
  }
  return {};
}

Status AfxdpLoop::make_sockets() {
  xsk_socket_config config{};
  config.rx_size = options_.ring;
  config.tx_size = options_.ring;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = static_cast<__u16>(options_.need_wakeup ? XDP_USE_NEED_WAKEUP : 0);
  const bool one_armed = options_.in == options_.out;
  const bool shared = one_armed && !options_.own_tx_socket;
  int error = xsk_socket__create(&rx_socket_, options_.in.c_str(), 0, umem_, &in_.rx,
                                 shared ? &in_.tx : nullptr, &config);
  if (error != 0) return fail_errno(-error, "AF_XDP socket on " + options_.in);
  tx_socket_ = rx_socket_;
  tx_ = &in_.tx;
  completion_ = &in_.completion;
  if (!shared) {
    // On the same queue libxdp shares FILL and COMPLETION with the first socket; on another port
    // they are its own.
    error = xsk_socket__create_shared(&tx_socket_, options_.out.c_str(), 0, umem_, nullptr,
                                      &out_.tx, one_armed ? &in_.fill : &out_.fill,
                                      one_armed ? &in_.completion : &out_.completion, &config);
    if (error != 0) {
      tx_socket_ = nullptr;
      return fail_errno(-error, "AF_XDP transmit socket on " + options_.out);
    }
    tx_ = &out_.tx;
    if (!one_armed) completion_ = &out_.completion;
  }
  if (options_.epoll_registered) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (xsk_socket* socket : {rx_socket_, tx_socket_}) {
      epoll_event event{.events = EPOLLIN, .data = {.ptr = socket}};
      (void)epoll_ctl(epoll_, EPOLL_CTL_ADD, xsk_socket__fd(socket), &event);
    }
  }
  // A socket without a TX ring, or one shorter than the budget, answers EACCES to the budget.
  return tune(xsk_socket__fd(tx_socket_));
}

Status AfxdpLoop::tune(int fd) const {
  const auto budget = static_cast<int>(options_.budget);
  if (budget > 0 && setsockopt(fd, SOL_XDP, kXdpMaxTxSkbBudget, &budget, sizeof(budget)) != 0 &&
      errno != ENOPROTOOPT) {
    return fail_errno(errno, "XDP_MAX_TX_SKB_BUDGET");
  }
  const auto bytes = static_cast<int>(options_.send_buffer);
  if (bytes > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0) {
    return fail_errno(errno, "SO_SNDBUFFORCE");
  }
  return {};
}

int AfxdpLoop::rx_fd() const { return xsk_socket__fd(rx_socket_); }

void AfxdpLoop::fill_rings() { refill(); }

void AfxdpLoop::drain_completions() {
  std::uint32_t index = 0;
  const std::uint32_t done = xsk_ring_cons__peek(completion_, options_.umem_ring, &index);
  for (std::uint32_t i = 0; i < done; ++i) {
    const std::uint64_t address = *xsk_ring_cons__comp_addr(completion_, index + i);
    free_.push_back(address / options_.frame_bytes * options_.frame_bytes);
  }
  if (done > 0) xsk_ring_cons__release(completion_, done);
}

void AfxdpLoop::refill() {
  const std::uint32_t room = xsk_prod_nb_free(&in_.fill, options_.umem_ring);
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(room, free_.size()));
  std::uint32_t index = 0;
  if (count == 0 || xsk_ring_prod__reserve(&in_.fill, count, &index) != count) return;
  for (std::uint32_t i = 0; i < count; ++i) {
    *xsk_ring_prod__fill_addr(&in_.fill, index + i) = free_.back();
    free_.pop_back();
  }
  xsk_ring_prod__submit(&in_.fill, count);
}

std::uint32_t AfxdpLoop::forward() {
  const std::uint32_t room = xsk_prod_nb_free(tx_, options_.batch);
  std::uint32_t from = 0;
  const std::uint32_t count = xsk_ring_cons__peek(&in_.rx, std::min(room, options_.batch), &from);
  if (count == 0) return 0;
  std::uint32_t to = 0;
  xsk_ring_prod__reserve(tx_, count, &to);
  for (std::uint32_t i = 0; i < count; ++i) {
    const xdp_desc in = *xsk_ring_cons__rx_desc(&in_.rx, from + i);
    swap_macs(reinterpret_cast<char*>(memory_.data()) + in.addr);
    xdp_desc* out = xsk_ring_prod__tx_desc(tx_, to + i);
    out->addr = in.addr;
    out->len = in.len;
    out->options = 0;
  }
  xsk_ring_cons__release(&in_.rx, count);
  xsk_ring_prod__submit(tx_, count);
  unkicked_ += count;
  ++counters_.batches;
  counters_.packets += count;
  return count;
}

void AfxdpLoop::kick() {
  for (int i = 0; i < kKickTries; ++i) {
    ++counters_.kicks;
    if (sendto(xsk_socket__fd(tx_socket_), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) break;
    if (errno != EAGAIN) break;
    ++counters_.again;
    if (__atomic_load_n(tx_->consumer, __ATOMIC_ACQUIRE) == *tx_->producer) break;
    drain_completions();
  }
  unkicked_ = 0;
}

void AfxdpLoop::wait() {
  if (options_.wait == Wait::Spin) return;
  if (options_.wait == Wait::Hybrid && ++idle_rounds_ < options_.spin_rounds) return;
  idle_rounds_ = 0;
  ++counters_.polls;
  if (epoll_ >= 0) {
    epoll_event event{};
    (void)epoll_wait(epoll_, &event, 1, kIdlePollMs);
    return;
  }
  pollfd wanted{.fd = rx_fd(), .events = POLLIN, .revents = 0};
  (void)poll(&wanted, 1, kIdlePollMs);
}

void AfxdpLoop::run(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    drain_completions();
    refill();
    const std::uint32_t count = forward();
    if (unkicked_ > 0 && (unkicked_ >= options_.kick_at || count == 0)) kick();
    if (count == 0) {
      wait();
    } else {
      idle_rounds_ = 0;
    }
  }
}

LoopCounters AfxdpLoop::counters() const {
  LoopCounters result = counters_;
  xdp_statistics statistics{};
  socklen_t bytes = sizeof(statistics);
  if (getsockopt(rx_fd(), SOL_XDP, XDP_STATISTICS, &statistics, &bytes) == 0) {
    result.rx_ring_full = statistics.rx_ring_full;
    result.fill_empty = statistics.rx_fill_ring_empty_descs;
  }
  return result;
}

}  // namespace lb::bench
