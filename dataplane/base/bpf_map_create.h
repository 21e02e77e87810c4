// SPDX-License-Identifier: Apache-2.0
// BpfOwnedMap: an inner map of a map of maps, made at run time since its size is known only then.
// It is filled through memory and then put into the outer map by its descriptor. One thread; not
// for the packet path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "dataplane/base/bpf_map.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// Move-only. The map lives as long as this holds it, or an outer map does.
class BpfOwnedMap {
 public:
  /// An ARRAY of zeros for an outer map whose inner map is declared with keys of 4 bytes, values of
  /// `value_bytes` (a multiple of 8) and the flags BPF_F_INNER_MAP | BPF_F_MMAPABLE. The kernel
  /// keeps 15 letters of `name`. Errors: errno of bpf(2).
  [[nodiscard]] static Result<BpfOwnedMap> inner_array(const std::string& name,
                                                       std::uint32_t value_bytes,
                                                       std::uint32_t entries);
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Of all values; the kernel rounds it up to a page.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// The values, one after the other; programs see at once what is written. Errors: errno of
  /// mmap(2).
  [[nodiscard]] Result<BpfMapping> memory() const { return BpfMapping::map(fd(), bytes_, true); }

 private:
  Fd fd_;
  std::size_t bytes_ = 0;
};

}  // namespace lb
