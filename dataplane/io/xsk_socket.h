// SPDX-License-Identifier: Apache-2.0
// XskSocket: the AF_XDP end of one queue of one port: FILL and COMPLETION, RX, and TX on a second
// socket of the same queue in copy mode (the receiving softirq and the sender then do not share a
// socket's cache lines). Made and destroyed by control's thread; the ring functions are for the
// worker that owns it alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/frame_pool.h"
#include "dataplane/io/umem.h"
#include "dataplane/io/xsk_ring.h"
#include "dataplane/worker.h"

namespace lb {

/// What a socket is asked to be.
struct XskOptions {
  std::string interface;
  std::uint32_t queue = 0;
  std::uint32_t frame_bytes = 2048;
  std::uint32_t rx_ring = 0, tx_ring = 0, fill_ring = 0, completion_ring = 0;  ///< powers of two
  bool zero_copy = false;
  bool need_wakeup = true;
  bool separate_tx = true;         ///< copy mode only
  std::uint32_t busy_poll_us = 0;  ///< 0: off
  std::uint32_t busy_poll_budget = 64;
  std::uint32_t tx_budget = 256;  ///< frames a copy-mode kick may send; kernel >= 6.17
};

/// What sendto() on a socket answered, from its errno. Gone is for good, so it is only what nothing
/// but the loss of the device can mean; whatever else there is counts as a link that is down, which
/// the worker tries again and again.
[[nodiscard]] Kick kick_answer(int error, bool zero_copy) noexcept;
/// Whether nothing that we know of answers so: worth a word to the operator.
[[nodiscard]] bool unexpected_kick_error(int error) noexcept;

class XskSocket {
 public:
  /// Opens and binds. FILL holds frames of `pool` before the bind. The worker's first socket
  /// registers `umem`, the others share it. Errors: EBUSY (queue taken), EOPNOTSUPP (zero-copy),
  /// EAFNOSUPPORT, EPERM, EINVAL, in words.
  [[nodiscard]] static Result<std::unique_ptr<XskSocket>> open(const XskOptions& options,
                                                               Umem& umem, FramePool& pool);
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;
  ~XskSocket() = default;

  /// The receiving socket: for the XSKMAP, for poll, for statistics.
  [[nodiscard]] int fd() const noexcept { return rx_socket_.get(); }
  [[nodiscard]] bool zero_copy() const noexcept { return zero_copy_; }
  /// Any thread. Of both sockets: receiving and transmitting.
  [[nodiscard]] SocketStats stats() const;

  // The worker's thread only; what they mean is said at Worker (dataplane/worker.h).
  template <class F>
  std::uint32_t complete(F&& take) noexcept {
    std::uint32_t at = 0;
    std::uint32_t n = xsk_ring_cons__peek(&completion_, completion_.size, &at);
    if (n == 0) return 0;
    for (std::uint32_t i = 0; i < n; ++i) take(*xsk_ring_cons__comp_addr(&completion_, at + i));
    xsk_ring_cons__release(&completion_, n);
    return n;
  }
  [[nodiscard]] std::uint32_t fill_room() noexcept { return xsk_prod_nb_free(&fill_, fill_.size); }
  [[nodiscard]] std::uint32_t fill_size() const noexcept { return fill_.size; }
  [[nodiscard]] std::uint32_t tx_size() const noexcept { return tx_.size; }
  template <class F>
  void fill(std::uint32_t n, F&& next) noexcept {
    std::uint32_t at = 0;
    n = xsk_ring_prod__reserve(&fill_, n, &at);
    for (std::uint32_t i = 0; i < n; ++i) *xsk_ring_prod__fill_addr(&fill_, at + i) = next();
    xsk_ring_prod__submit(&fill_, n);
  }
  [[nodiscard]] bool fill_wakes() const noexcept {
    return busy_poll_ || (need_wakeup_ && xsk_ring_prod__needs_wakeup(&fill_) != 0);
  }
  void wake_fill() noexcept;
  [[nodiscard]] std::uint32_t tx_room() noexcept { return xsk_prod_nb_free(&tx_, tx_.size); }
  template <class F>
  std::uint32_t receive(std::uint32_t n, F&& take) noexcept {
    std::uint32_t at = 0;
    n = xsk_ring_cons__peek(&rx_, n, &at);
    if (n == 0) return 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const xdp_desc* desc = xsk_ring_cons__rx_desc(&rx_, at + i);
      take(desc->addr, desc->len);
    }
    xsk_ring_cons__release(&rx_, n);
    return n;
  }
  /// REQUIRES: tx_room() said so.
  void put_tx(std::uint64_t address, std::uint32_t bytes) noexcept {
    xdp_desc* desc = xsk_ring_prod__tx_desc(&tx_, tx_.cached_prod++);
    *desc = {.addr = address, .len = bytes, .options = 0};
  }
  void submit_tx() noexcept { __atomic_store_n(tx_.producer, tx_.cached_prod, __ATOMIC_RELEASE); }
  [[nodiscard]] std::uint32_t tx_pending() const noexcept {
    return tx_.cached_prod - __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE);
  }
  /// Copy mode has no one else to transmit; the ring flag speaks for the driver in zero-copy mode.
  [[nodiscard]] bool tx_wakes() const noexcept {
    return !zero_copy_ || (need_wakeup_ && xsk_ring_prod__needs_wakeup(&tx_) != 0);
  }
  [[nodiscard]] Kick kick() noexcept;

 private:
  explicit XskSocket(const XskOptions& options) : options_(options) {}
  [[nodiscard]] Status make_rings(Umem& umem, FramePool& pool);
  [[nodiscard]] Status bind(const Umem& umem);
  [[nodiscard]] Status bind_one(int fd, int shared_fd);
  [[nodiscard]] Status tune();
  void fill_from(FramePool& pool) noexcept;

  // Hot:
  xsk_ring_cons rx_{};
  xsk_ring_prod tx_{};
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};
  int tx_fd_ = -1;
  bool zero_copy_ = false;
  bool need_wakeup_ = true;
  bool busy_poll_ = false;
  // Cold:
  Counter tx_refused_;            ///< unexpected answers ...
  std::atomic<int> tx_error_{0};  ///< ... and the last of them
  XskOptions options_;
  Fd rx_socket_;
  Fd tx_socket_;  ///< none: rx_socket_ transmits
  RingMapping rx_memory_, tx_memory_, fill_memory_, completion_memory_;
};

/// The ends of a Worker over real sockets, by port.
class XskEnds {
 public:
  explicit XskEnds(std::vector<std::unique_ptr<XskSocket>> sockets)
      : sockets_(std::move(sockets)) {}
  [[nodiscard]] std::uint32_t ports() const noexcept {
    return static_cast<std::uint32_t>(sockets_.size());
  }
  [[nodiscard]] XskSocket& socket(std::uint32_t port) const noexcept { return *sockets_[port]; }

  template <class F>
  std::uint32_t complete(std::uint32_t port, F&& take) noexcept {
    return sockets_[port]->complete(take);
  }
  std::uint32_t fill_room(std::uint32_t port) noexcept { return sockets_[port]->fill_room(); }
  std::uint32_t fill_size(std::uint32_t port) const noexcept { return sockets_[port]->fill_size(); }
  std::uint32_t tx_size(std::uint32_t port) const noexcept { return sockets_[port]->tx_size(); }
  template <class F>
  void fill(std::uint32_t port, std::uint32_t n, F&& next) noexcept {
    sockets_[port]->fill(n, next);
  }
  bool fill_wakes(std::uint32_t port) const noexcept { return sockets_[port]->fill_wakes(); }
  void wake_fill(std::uint32_t port) noexcept { sockets_[port]->wake_fill(); }
  std::uint32_t tx_room(std::uint32_t port) noexcept { return sockets_[port]->tx_room(); }
  template <class F>
  std::uint32_t receive(std::uint32_t port, std::uint32_t n, F&& take) noexcept {
    return sockets_[port]->receive(n, take);
  }
  void put_tx(std::uint32_t port, std::uint64_t address, std::uint32_t bytes) noexcept {
    sockets_[port]->put_tx(address, bytes);
  }
  void submit_tx(std::uint32_t port) noexcept { sockets_[port]->submit_tx(); }
  std::uint32_t tx_pending(std::uint32_t port) const noexcept {
    return sockets_[port]->tx_pending();
  }
  bool tx_wakes(std::uint32_t port) const noexcept { return sockets_[port]->tx_wakes(); }
  Kick kick(std::uint32_t port) noexcept { return sockets_[port]->kick(); }

 private:
  std::vector<std::unique_ptr<XskSocket>> sockets_;
};

}  // namespace lb
