// SPDX-License-Identifier: Apache-2.0
// XskRing: one ring of an AF_XDP socket, asked of the kernel and mapped, as libxdp's inline
// functions take it. libxdp's xsk_socket__create_shared() does the same in one go with the bind,
// which rules out three things that we need: a FILL ring that is full before the bind, a second
// socket for TX on a port that is not the UMEM's first, and CLOEXEC.
#pragma once

#include <xdp/xsk.h>

#include <cstdint>

#include "dataplane/base/result.h"

namespace lb {

/// The memory that a socket shares with the kernel for one ring. Move-only.
class RingMapping {
 public:
  RingMapping() = default;
  RingMapping(void* data, std::size_t bytes) noexcept : data_(data), bytes_(bytes) {}
  RingMapping(RingMapping&& other) noexcept;
  RingMapping& operator=(RingMapping&& other) noexcept;
  ~RingMapping();

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A ring that we fill (FILL, TX).
struct XskProducer {
  xsk_ring_prod ring{};
  RingMapping mapping;
};
/// A ring that we empty (RX, COMPLETION).
struct XskConsumer {
  xsk_ring_cons ring{};
  RingMapping mapping;
};

/// Each asks socket `fd` for a ring of `size` (a power of two) descriptors, before the bind.
/// Errors: those of setsockopt and mmap, with the ring named.
[[nodiscard]] Result<XskProducer> make_fill_ring(int fd, std::uint32_t size);
[[nodiscard]] Result<XskProducer> make_tx_ring(int fd, std::uint32_t size);
[[nodiscard]] Result<XskConsumer> make_rx_ring(int fd, std::uint32_t size);
[[nodiscard]] Result<XskConsumer> make_completion_ring(int fd, std::uint32_t size);

}  // namespace lb
