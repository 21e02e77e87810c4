// SPDX-License-Identifier: Apache-2.0
// FrameMemory: the pages of a worker's frames. Umem: the same registered with the kernel; one a
// worker, shared by its sockets on every port, so that a frame received on one is transmitted on
// another without a copy. Control's thread makes and destroys them; a Umem must outlive its
// sockets.
#pragma once

#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/result.h"

namespace lb {

/// Anonymous memory, taken at once. Move-only.
class FrameMemory {
 public:
  /// Huge pages if wanted and to be had, else normal pages. Errors: ENOMEM.
  [[nodiscard]] static Result<FrameMemory> map(std::size_t bytes, bool want_hugepages);
  FrameMemory(FrameMemory&& other) noexcept;
  FrameMemory& operator=(FrameMemory&& other) noexcept;
  ~FrameMemory();
  [[nodiscard]] std::uint8_t* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool hugepages() const noexcept { return hugepages_; }

 private:
  FrameMemory() = default;
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool hugepages_ = false;
};

/// The registration. The first socket's FILL and COMPLETION rings are made with it (that is how the
/// kernel and libxdp have it), so they are the caller's and must outlive the Umem.
class Umem {
 public:
  /// Errors: EAFNOSUPPORT (kernel without AF_XDP), EPERM, ENOBUFS (memory limit), in words.
  [[nodiscard]] static Result<std::unique_ptr<Umem>> create(
      const FrameMemory& memory, std::uint32_t frame_bytes, std::uint32_t fill_ring,
      std::uint32_t completion_ring, xsk_ring_prod& fill, xsk_ring_cons& completion);
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;
  ~Umem();
  [[nodiscard]] xsk_umem* get() const noexcept { return umem_; }

 private:
  explicit Umem(xsk_umem* umem) noexcept : umem_(umem) {}
  xsk_umem* umem_;
};

}  // namespace lb
