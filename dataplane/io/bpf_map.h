// SPDX-License-Identifier: Apache-2.0
// BpfMap: one BPF map that the fast path shares with user space, and its memory when it is
// memory-mapped. Control's thread makes and destroys it; the memory may be read and written from
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// What a map is made as; enums and flags of linux/bpf.h.
struct BpfMapSpec {
  std::string name;  ///< at most 15 bytes
  std::uint32_t type = 0;
  std::uint32_t key_bytes = 4;
  std::uint32_t value_bytes = 4;
  std::uint32_t entries = 1;
  std::uint32_t flags = 0;
  int inner_fd = -1;  ///< of an array of maps: a map like those it holds
  friend bool operator==(const BpfMapSpec&, const BpfMapSpec&) = default;
};

class BpfMap {
 public:
  BpfMap() = default;
  BpfMap(BpfMap&& other) noexcept
      : fd_(std::move(other.fd_)),
        memory_(std::exchange(other.memory_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  BpfMap& operator=(BpfMap&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BpfMap();

  /// Makes the map, and maps its memory when its flags have BPF_F_MMAPABLE. Errors: BpfError with
  /// the name and what to do.
  [[nodiscard]] static Result<BpfMap> create(const BpfMapSpec& spec);
  /// The same with a map that is there already. EINVAL when it is not what `spec` says.
  [[nodiscard]] static Result<BpfMap> over(Fd fd, const BpfMapSpec& spec);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// The kernel's; 0 when it cannot be read.
  [[nodiscard]] std::uint32_t id() const noexcept;
  /// All values, each rounded up to 8 bytes; empty when it is not memory-mapped.
  [[nodiscard]] std::span<std::byte> memory() const noexcept { return {memory_, bytes_}; }
  /// REQUIRES: memory-mapped, T is the value's type.
  template <class T>
  [[nodiscard]] T* values() const noexcept {
    return reinterpret_cast<T*>(memory_);
  }

 private:
  [[nodiscard]] Status map_memory(const BpfMapSpec& spec);
  Fd fd_;
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lb
