// SPDX-License-Identifier: Apache-2.0
// RingSizes: the ring sizes and frames that a config asks for, or the defaults. Pure functions, any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/result.h"
#include "dataplane/dataplane.h"

namespace lb {

/// Descriptors of each ring, and frames of one worker.
struct RingSizes {
  std::uint32_t rx = 0, tx = 0, fill = 0, completion = 0;
  std::uint32_t frames = 0;
  std::uint32_t frame_bytes = 0;
  /// UMEM of one worker.
  [[nodiscard]] std::size_t umem_bytes() const noexcept {
    return static_cast<std::size_t>(frames) * frame_bytes;
  }
};

/// Checks batch, frame_bytes, rings and frames. `ports` >= 1. The default number of frames lets
/// every ring of every port be full at once, so that FILL never starves. Errors: EINVAL with the
/// key of the config and its range.
[[nodiscard]] Result<RingSizes> ring_sizes(const DataplaneConfig& config, std::uint32_t ports);

}  // namespace lb
