// SPDX-License-Identifier: Apache-2.0
// AfxdpLoop: the least that a forwarder on AF_XDP can do, as a yardstick for Sluice.
//
// One thread, one queue, one or two ports, one UMEM: receive, swap the MAC addresses, transmit. No
// parsing, no table, no counters. Each way to spend the time that was worth a try is an option, so
// that it can be measured.
#pragma once

#include <xdp/xsk.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/table/mapped_memory.h"

namespace lb::bench {

enum class Wait : std::uint8_t {
  Spin,    ///< never sleeps
  Poll,    ///< poll() at once when there is nothing to receive
  Hybrid,  ///< spins `spin_rounds` times, then poll()
};

struct LoopOptions {
  std::string in;
  std::string out;              ///< equal to `in`: one-armed
  std::uint32_t frames = 4096;  ///< in the UMEM
  std::uint32_t frame_bytes = 2048;
  std::uint32_t ring = 2048;       ///< entries of the RX and TX rings
  std::uint32_t umem_ring = 4096;  ///< entries of FILL and COMPLETION
  std::uint32_t batch = 64;
  std::uint32_t budget = 256;     ///< XDP_MAX_TX_SKB_BUDGET; 0 leaves the kernel's 32
  std::uint32_t send_buffer = 0;  ///< SO_SNDBUFFORCE in bytes; 0 leaves the kernel's
  std::uint32_t spin_rounds = 200;
  std::uint32_t kick_at = 1;      ///< frames in TX that make a system call worth it
  bool own_tx_socket = true;      ///< a second socket on the same queue for transmit
  bool epoll_registered = false;  ///< the sockets sit in an epoll set, as a daemon's might
  bool need_wakeup = true;
  Wait wait = Wait::Hybrid;
};

struct LoopCounters {
  std::uint64_t batches = 0;
  std::uint64_t packets = 0;
  std::uint64_t kicks = 0;
  std::uint64_t again = 0;
  std::uint64_t polls = 0;
  std::uint64_t rx_ring_full = 0;
  std::uint64_t fill_empty = 0;
};

class AfxdpLoop {
 public:
  [[nodiscard]] static Result<std::unique_ptr<AfxdpLoop>> open(const LoopOptions& options);
  ~AfxdpLoop();
  AfxdpLoop(const AfxdpLoop&) = delete;
  AfxdpLoop& operator=(const AfxdpLoop&) = delete;

  /// Descriptor of the receiving socket, for the XSKMAP.
  [[nodiscard]] int rx_fd() const;
  /// Forwards until `stop` is true.
  void run(const std::atomic<bool>& stop);
  [[nodiscard]] LoopCounters counters() const;

 private:
  explicit AfxdpLoop(const LoopOptions& options) : options_(options) {}
  [[nodiscard]] Status make_umem();
  [[nodiscard]] Status make_sockets();
  [[nodiscard]] Status tune(int fd) const;
  void fill_rings();
  void drain_completions();
  void refill();
  std::uint32_t forward();
  void kick();
  void wait();

  struct Rings {
    xsk_ring_prod fill{};
    xsk_ring_cons completion{};
    xsk_ring_cons rx{};
    xsk_ring_prod tx{};
  };
  LoopOptions options_;
  MappedMemory memory_;
  xsk_umem* umem_ = nullptr;
  xsk_socket* rx_socket_ = nullptr;
  xsk_socket* tx_socket_ = nullptr;  // equal to rx_socket_ when one serves both
  Rings in_;
  Rings out_;
  xsk_ring_cons* completion_ = nullptr;
  xsk_ring_prod* tx_ = nullptr;
  std::vector<std::uint64_t> free_;  // frames that are in no ring, last in first out
  std::uint32_t unkicked_ = 0;
  std::uint32_t idle_rounds_ = 0;
  int epoll_ = -1;
  LoopCounters counters_;
};

}  // namespace lb::bench
