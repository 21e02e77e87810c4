// SPDX-License-Identifier: Apache-2.0
// DropReason: the C++ face of the one list in bpf/lb_abi.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bpf/lb_abi.h"

namespace lb {

enum class DropReason : std::uint8_t {
#define LB_ENUMERATOR(name, text, help) name,
  LB_DROP_REASONS(LB_ENUMERATOR)
#undef LB_ENUMERATOR
};
inline constexpr std::size_t kDropReasons = LB_DROP_COUNT;

/// The name used in metrics, JSON and tables, e.g. "no_neighbour".
[[nodiscard]] std::string_view drop_reason_name(DropReason reason);
/// One line of help for an operator.
[[nodiscard]] std::string_view drop_reason_help(DropReason reason);

}  // namespace lb
