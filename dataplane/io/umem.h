// SPDX-License-Identifier: Apache-2.0
// Umem: the memory of a worker's frames. Registered with the kernel through the worker's first
// socket and shared by its sockets on every port, so that a frame received on one port is
// transmitted on another without a copy. Control's thread makes and destroys it; the kernel keeps
// its own hold on the pages, but the worker's pointers need it alive.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/result.h"

namespace lb {

class Umem {
 public:
  /// Takes the memory at once: huge pages if wanted and to be had, else normal pages. Errors:
  /// ENOMEM.
  [[nodiscard]] static Result<Umem> map(std::size_t bytes, bool want_hugepages);
  Umem(Umem&& other) noexcept;
  Umem& operator=(Umem&& other) noexcept;
  ~Umem();

  /// Registers the memory through an AF_XDP socket. Errors: ENOBUFS (memory limit) and others, in
  /// words.
  [[nodiscard]] Status register_with(int socket_fd, std::uint32_t frame_bytes);
  /// The socket that it is registered with, -1 before: the others name it when they bind.
  [[nodiscard]] int socket_fd() const noexcept { return socket_fd_; }

  [[nodiscard]] std::uint8_t* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool hugepages() const noexcept { return hugepages_; }

 private:
  Umem() = default;
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
  int socket_fd_ = -1;
  bool hugepages_ = false;
};

}  // namespace lb
