// SPDX-License-Identifier: Apache-2.0
// One event of `observe leak --kernel --trace` as a line of JSON. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bpf/observe_kmem.h"

namespace lb::observe {

/// {"event":"alloc","ns":...,"kind":"slab","cache":"filp","address":"0x...","bytes":192,...},
/// without the line's end. event: alloc, free, or reused (the free was not seen); pid, thread and
/// comm are of who caused it, allocated_by is who asked for the block; stack: hex addresses, leaf
/// first.
[[nodiscard]] std::string event_json(const kmem_event& event, std::string_view cache,
                                     std::span<const std::uint64_t> stack);

}  // namespace lb::observe
