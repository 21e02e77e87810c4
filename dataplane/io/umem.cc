// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/umem.h"

#include <fmt/format.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace lb {
namespace {

constexpr std::size_t kHugepageBytes = 2U << 20;

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

Result<Umem> Umem::map(std::size_t bytes, bool want_hugepages) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  Umem umem;
  void* data = MAP_FAILED;
  if (want_hugepages) {
    umem.bytes_ = round_up(bytes, kHugepageBytes);
    data = mmap(nullptr, umem.bytes_, kAccess, kFlags | MAP_HUGETLB, -1, 0);
    umem.hugepages_ = data != MAP_FAILED;
  }
  if (data == MAP_FAILED) {
    umem.bytes_ = round_up(bytes, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
    data = mmap(nullptr, umem.bytes_, kAccess, kFlags, -1, 0);
  }
  if (data == MAP_FAILED) return fail_errno(errno, fmt::format("{} bytes of frames", bytes));
  umem.data_ = static_cast<std::uint8_t*>(data);
  return umem;
}

Umem::Umem(Umem&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      socket_fd_(std::exchange(other.socket_fd_, -1)),
      hugepages_(other.hugepages_) {}

Umem& Umem::operator=(Umem&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(socket_fd_, other.socket_fd_);
  std::swap(hugepages_, other.hugepages_);
  return *this;
}

Umem::~Umem() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Status Umem::register_with(int socket_fd, std::uint32_t frame_bytes) {
  xdp_umem_reg registration{};
  registration.addr = reinterpret_cast<std::uintptr_t>(data_);
  registration.len = bytes_;
  registration.chunk_size = frame_bytes;
  if (setsockopt(socket_fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) == 0) {
    socket_fd_ = socket_fd;
    return {};
  }
  if (errno == ENOBUFS || errno == ENOMEM) {
    return fail(errno, fmt::format("{} bytes of frames are over the memory limit: raise it "
                                   "(ulimit -l, LimitMEMLOCK=) or give CAP_IPC_LOCK",
                                   bytes_));
  }
  return fail_errno(errno, "frames cannot be registered with the kernel");
}

}  // namespace lb
