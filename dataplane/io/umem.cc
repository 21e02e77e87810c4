// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/umem.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "dataplane/base/assert.h"

namespace lb {
namespace {

constexpr std::size_t kHugepageBytes = 2U << 20;

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

std::unexpected<Error> umem_error(int error, std::size_t bytes) {
  switch (error) {
    case EAFNOSUPPORT:
      return fail(error, "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)");
    case EPERM:
      return fail(error,
                  "no permission for AF_XDP sockets: run as root, or with CAP_NET_RAW, "
                  "CAP_NET_ADMIN, CAP_BPF and CAP_IPC_LOCK");
    case ENOBUFS:
    case ENOMEM:
      return fail(error, fmt::format("{} bytes of packet memory are over the memory limit: raise "
                                     "it (ulimit -l, LimitMEMLOCK=) or give CAP_IPC_LOCK",
                                     bytes));
    default:
      return fail_errno(error, "packet memory cannot be registered with the kernel");
  }
}

}  // namespace

Result<FrameMemory> FrameMemory::map(std::size_t bytes, bool want_hugepages) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  FrameMemory memory;
  if (want_hugepages) {
    std::size_t rounded = round_up(bytes, kHugepageBytes);
    void* data = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, kFlags | MAP_HUGETLB, -1, 0);
    if (data != MAP_FAILED) {
      memory.data_ = static_cast<std::uint8_t*>(data);
      memory.bytes_ = rounded;
      memory.hugepages_ = true;
      return memory;
    }
  }
  std::size_t rounded = round_up(bytes, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  void* data = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (data == MAP_FAILED) {
    return fail_errno(errno, fmt::format("{} bytes of packet memory", rounded));
  }
  memory.data_ = static_cast<std::uint8_t*>(data);
  memory.bytes_ = rounded;
  return memory;
}

FrameMemory::FrameMemory(FrameMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      hugepages_(other.hugepages_) {}

FrameMemory& FrameMemory::operator=(FrameMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(hugepages_, other.hugepages_);
  return *this;
}

FrameMemory::~FrameMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<std::unique_ptr<Umem>> Umem::create(const FrameMemory& memory, std::uint32_t frame_bytes,
                                           std::uint32_t fill_ring, std::uint32_t completion_ring,
                                           xsk_ring_prod& fill, xsk_ring_cons& completion) {
  xsk_umem_config config{};
  config.fill_size = fill_ring;
  config.comp_size = completion_ring;
  config.frame_size = frame_bytes;
  xsk_umem* umem = nullptr;
  int error = xsk_umem__create(&umem, memory.data(), memory.bytes(), &fill, &completion, &config);
  if (error != 0) return umem_error(-error, memory.bytes());
  return std::unique_ptr<Umem>(new Umem(umem));
}

Umem::~Umem() {
  // EBUSY would mean that a socket outlives its memory.
  LB_ASSERT(xsk_umem__delete(umem_) == 0);
}

}  // namespace lb
