// SPDX-License-Identifier: Apache-2.0
// HandReason: the C++ face of the list in bpf/lb_abi.h of why the XDP program hands a packet to a
// worker, and what a worker says of a frame that does not tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bpf/lb_abi.h"

namespace lb {

enum class HandReason : std::uint8_t {
#define LB_ENUMERATOR(name, text, help) name,
  LB_HAND_REASONS(LB_ENUMERATOR)
#undef LB_ENUMERATOR
      None,  ///< the frame came without metadata, or with a reason that there is not
};
inline constexpr std::size_t kHandReasons = LB_HAND_COUNT + 1;

/// The name used in metrics, JSON and tables, e.g. "fragment" or "none".
[[nodiscard]] std::string_view hand_reason_name(HandReason reason);
/// One line of help for an operator.
[[nodiscard]] std::string_view hand_reason_help(HandReason reason);

}  // namespace lb
