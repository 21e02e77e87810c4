// SPDX-License-Identifier: Apache-2.0
// The BPF object of `observe leak --tier pages`, as bytes: the skeleton's only user.
#pragma once

#include <cstddef>
#include <span>

#include "bpf/observe_resident.h"

namespace lb::observe {

/// bpf/observe_resident.bpf.c, compiled; lives as long as the program.
[[nodiscard]] std::span<const std::byte> resident_object();

}  // namespace lb::observe
