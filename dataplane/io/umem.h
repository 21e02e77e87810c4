// SPDX-License-Identifier: Apache-2.0
// Umem: the memory of a worker's frames. Registered with the kernel through the worker's first
// socket and shared by its sockets on every port, so that a frame received on one port is
// transmitted on another without a copy. Control's thread makes and destroys it; the kernel keeps
// its own hold on the pages, but the worker's pointers need it alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "dataplane/base/result.h"
#include "dataplane/table/mapped_memory.h"

namespace lb {

class Umem {
 public:
  /// Takes the memory at once: huge pages if wanted and to be had (explicit ones, else transparent
  /// ones), else normal pages. Errors: ENOMEM.
  [[nodiscard]] static Result<Umem> map(std::size_t bytes, bool want_hugepages);

  /// Registers the memory through an AF_XDP socket. Errors: ENOBUFS (memory limit) and others, in
  /// words.
  [[nodiscard]] Status register_with(int socket_fd, std::uint32_t frame_bytes);
  /// The socket that it is registered with, -1 before: the others name it when they bind.
  [[nodiscard]] int socket_fd() const noexcept { return socket_fd_; }

  [[nodiscard]] std::uint8_t* data() const noexcept {
    return reinterpret_cast<std::uint8_t*>(memory_.data());
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return memory_.bytes(); }
  /// Whether it stands on explicit huge pages.
  [[nodiscard]] bool hugepages() const noexcept { return memory_.hugetlb(); }

 private:
  explicit Umem(MappedMemory memory) noexcept : memory_(std::move(memory)) {}
  MappedMemory memory_;
  int socket_fd_ = -1;
};

}  // namespace lb
