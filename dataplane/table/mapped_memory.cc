// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/mapped_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace lb {
namespace {

constexpr std::size_t kHugeBytes = std::size_t{2} << 20;
#ifndef MADV_POPULATE_WRITE
constexpr int MADV_POPULATE_WRITE = 23;  // Linux 5.14
#endif

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

void* map_anonymous(std::size_t bytes, int flags) {
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

/// Maps `bytes` at a multiple of 2 MiB, so that transparent huge pages fit from the first byte on.
void* map_aligned(std::size_t bytes) {
  void* raw = map_anonymous(bytes + kHugeBytes, 0);
  if (raw == MAP_FAILED) return raw;
  auto* first = static_cast<std::byte*>(raw);
  auto misaligned = reinterpret_cast<std::uintptr_t>(first) % kHugeBytes;
  std::size_t before = misaligned == 0 ? 0 : kHugeBytes - misaligned;
  if (before != 0) munmap(first, before);
  munmap(first + before + bytes, kHugeBytes - before);
  return first + before;
}

/// Makes every page present. Errors: ENOMEM.
int populate(std::byte* data, std::size_t bytes, std::size_t page) {
  if (madvise(data, bytes, MADV_POPULATE_WRITE) == 0) return 0;
  if (errno != EINVAL) return errno;
  for (std::size_t at = 0; at < bytes; at += page) {
    *reinterpret_cast<volatile std::byte*>(data + at) = std::byte{0};
  }
  return 0;
}

}  // namespace

Result<MappedMemory> MappedMemory::create(std::size_t bytes, bool want_huge) {
  if (bytes == 0) return fail(EINVAL, "memory of 0 bytes was asked for");
  MappedMemory memory;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const bool huge_fits = want_huge && bytes >= kHugeBytes;
  if (huge_fits) {
    std::size_t huge = round_up(bytes, kHugeBytes);
    void* data = map_anonymous(huge, MAP_HUGETLB | MAP_POPULATE);
    if (data != MAP_FAILED) {
      memory.data_ = static_cast<std::byte*>(data);
      memory.bytes_ = huge;
      memory.hugetlb_ = true;
      madvise(data, huge, MADV_DONTDUMP);
      return memory;
    }
  }
  std::size_t rounded = round_up(bytes, page);
  void* data = huge_fits ? map_aligned(rounded) : map_anonymous(rounded, 0);
  if (data == MAP_FAILED) return fail_errno(errno, fmt::format("mmap of {} bytes", rounded));
  memory.data_ = static_cast<std::byte*>(data);
  memory.bytes_ = rounded;
  if (huge_fits) madvise(data, rounded, MADV_HUGEPAGE);
  madvise(data, rounded, MADV_DONTDUMP);  // packets and flows are nobody's business
  if (int error = populate(memory.data_, rounded, page); error != 0) {
    return fail_errno(error, fmt::format("taking {} bytes of memory", rounded));
  }
  return memory;
}

MappedMemory::~MappedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace lb
