// SPDX-License-Identifier: Apache-2.0
// One event of `observe leak --trace` as a line of JSON. Pure.
#pragma once

#include <string>

#include "bpf/observe_heap.h"

namespace lb::observe {

/// Without the line's end.
[[nodiscard]] std::string event_json(const observe_heap_event& event);

}  // namespace lb::observe
