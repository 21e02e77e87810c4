// SPDX-License-Identifier: Apache-2.0
// The mark (IFA_PROTO, Linux 5.18) on every address that lbd puts on an interface, by which lbd and
// `lbctl reset` know it after a crash. `ip address show proto 83` lists them.
#pragma once

#include <cstdint>

namespace lb {
inline constexpr std::uint8_t kVipMarker = 0x53;
}  // namespace lb
