// SPDX-License-Identifier: Apache-2.0
// MappedMemory: one zeroed block for a table or a worker's frames, taken and touched at start so
// that the packet path never faults: explicit huge pages where there are some, else normal pages
// with transparent huge pages asked for.
#pragma once

#include <cstddef>
#include <utility>

#include "dataplane/base/result.h"

namespace lb {

class MappedMemory {
 public:
  MappedMemory() = default;
  /// Errors: EINVAL for 0 bytes, else what mmap says (ENOMEM).
  /// `want_huge` false: normal pages only.
  [[nodiscard]] static Result<MappedMemory> create(std::size_t bytes, bool want_huge = true);
  MappedMemory(MappedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        hugetlb_(other.hugetlb_) {}
  MappedMemory& operator=(MappedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(hugetlb_, other.hugetlb_);
    return *this;
  }
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;
  ~MappedMemory();

  /// Page aligned.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  /// What was taken: at least what was asked for, rounded up to pages.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// Whether it stands on explicit huge pages.
  [[nodiscard]] bool hugetlb() const noexcept { return hugetlb_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool hugetlb_ = false;
};

}  // namespace lb
