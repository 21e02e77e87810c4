// SPDX-License-Identifier: Apache-2.0
// The BPF object of `observe pages`, as bytes: the skeleton's only user.
#pragma once

#include <cstddef>
#include <span>

#include "bpf/observe_pages.h"
#include "bpf/observe_target.h"

namespace lb::observe {

/// bpf/observe_pages.bpf.c, compiled; lives as long as the program.
[[nodiscard]] std::span<const std::byte> pages_object();

}  // namespace lb::observe
