// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/xsk_ring.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>

namespace lb {
namespace {

/// Which ring: how it is asked for, where it is mapped, how large its entries are.
struct Kind {
  std::string_view name;
  int option;
  std::uint64_t page_offset;
  std::size_t entry_bytes;
  xdp_ring_offset xdp_mmap_offsets::* offsets;
};

constexpr Kind kFill = {"FILL", XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, sizeof(__u64),
                        &xdp_mmap_offsets::fr};
constexpr Kind kCompletion = {"COMPLETION", XDP_UMEM_COMPLETION_RING,
                              XDP_UMEM_PGOFF_COMPLETION_RING, sizeof(__u64), &xdp_mmap_offsets::cr};
constexpr Kind kRx = {"RX", XDP_RX_RING, XDP_PGOFF_RX_RING, sizeof(xdp_desc),
                      &xdp_mmap_offsets::rx};
constexpr Kind kTx = {"TX", XDP_TX_RING, XDP_PGOFF_TX_RING, sizeof(xdp_desc),
                      &xdp_mmap_offsets::tx};

/// `Ring` is xsk_ring_prod or xsk_ring_cons: the same fields.
template <class Owner>
Result<Owner> make_ring(int fd, std::uint32_t size, const Kind& kind) {
  auto failed = [&] {
    return fail_errno(errno, fmt::format("{} ring of {} descriptors", kind.name, size));
  };
  if (setsockopt(fd, SOL_XDP, kind.option, &size, sizeof size) != 0) return failed();
  xdp_mmap_offsets offsets{};
  socklen_t bytes = sizeof offsets;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0) return failed();
  const xdp_ring_offset& at = offsets.*kind.offsets;
  std::size_t mapped = at.desc + size * kind.entry_bytes;
  void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                    static_cast<off_t>(kind.page_offset));
  if (data == MAP_FAILED) return failed();
  auto* base = static_cast<std::uint8_t*>(data);
  Owner owner;
  owner.mapping = RingMapping(data, mapped);
  owner.ring.mask = size - 1;
  owner.ring.size = size;
  owner.ring.producer = reinterpret_cast<__u32*>(base + at.producer);
  owner.ring.consumer = reinterpret_cast<__u32*>(base + at.consumer);
  owner.ring.flags = reinterpret_cast<__u32*>(base + at.flags);
  owner.ring.ring = base + at.desc;
  owner.ring.cached_prod = *owner.ring.producer;
  owner.ring.cached_cons = *owner.ring.consumer;
  return owner;
}

Result<XskProducer> make_producer(int fd, std::uint32_t size, const Kind& kind) {
  LB_TRY_ASSIGN(auto owner, make_ring<XskProducer>(fd, size, kind));
  owner.ring.cached_cons += size;  // libxdp keeps a producer's view of the consumer one turn ahead
  return owner;
}

}  // namespace

RingMapping::RingMapping(RingMapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

RingMapping& RingMapping::operator=(RingMapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

RingMapping::~RingMapping() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<XskProducer> make_fill_ring(int fd, std::uint32_t size) {
  return make_producer(fd, size, kFill);
}
Result<XskProducer> make_tx_ring(int fd, std::uint32_t size) {
  return make_producer(fd, size, kTx);
}
Result<XskConsumer> make_rx_ring(int fd, std::uint32_t size) {
  return make_ring<XskConsumer>(fd, size, kRx);
}
Result<XskConsumer> make_completion_ring(int fd, std::uint32_t size) {
  return make_ring<XskConsumer>(fd, size, kCompletion);
}

}  // namespace lb
