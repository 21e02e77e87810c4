// SPDX-License-Identifier: Apache-2.0
// Maglev lookup arrays (Eisenbud et al., NSDI 2016, section 3.4), weighted. Pure; control builds
// them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/result.h"

namespace lb {

inline constexpr std::uint32_t kMaglevSlotsDefault = 65537;
inline constexpr std::uint32_t kMaglevSlotsMax = 16777213;  // the largest prime under 2^24

struct MaglevBackend {
  std::uint64_t offset_hash = 0;  ///< offset = offset_hash mod M
  std::uint64_t skip_hash = 0;    ///< skip = skip_hash mod (M - 1) + 1
  std::uint32_t weight = 1;       ///< 0 gets no slot
};

/// The array of `slots` (a prime) entries, each an index into `backends`. A backend's share of the
/// slots is its share of the weights to within one slot. Errors: EINVAL when `slots` is no prime or
/// smaller than the number of backends with a weight, or no backend has one, or there are more than
/// 65535 backends.
[[nodiscard]] Result<std::vector<std::uint16_t>> build_maglev(
    std::span<const MaglevBackend> backends, std::uint32_t slots);
[[nodiscard]] bool is_prime(std::uint32_t n) noexcept;

}  // namespace lb
