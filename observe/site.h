// SPDX-License-Identifier: Apache-2.0
// The label "site": where a program asked for memory, without the allocator's own functions. Pure
// functions over a Report whose frames have names.
#pragma once

#include <functional>
#include <string_view>

#include "observe/report.h"

namespace lb::observe {

/// Adds the dimension kSite and a label of each row: "function file:line" of the innermost frame
/// for which `inside` does not hold (the leaf when it holds for all), "object+0x..." without a
/// name, "-" without a stack. A stack says as much, so outputs show it only where --by asks.
void add_sites(Report& report, const std::function<bool(const Frame&)>& inside);

/// A function of the kernel's allocators: slab, pages, per-CPU, vmalloc.
[[nodiscard]] bool is_kernel_allocator(std::string_view function);

}  // namespace lb::observe
