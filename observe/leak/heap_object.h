// SPDX-License-Identifier: Apache-2.0
// The BPF object of `observe leak`, as bytes: the skeleton's only user.
#pragma once

#include <cstddef>
#include <span>

#include "bpf/observe_heap.h"

namespace lb::observe {

/// bpf/observe_heap.bpf.c, compiled; lives as long as the program.
[[nodiscard]] std::span<const std::byte> heap_object();

}  // namespace lb::observe
