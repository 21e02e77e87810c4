// SPDX-License-Identifier: Apache-2.0
// Plain tracepoints have numbers, which only the tracefs tells. Where it is not mounted this
// process mounts it for itself. For BpfObject; before threads are started.
#pragma once

#include "dataplane/base/result.h"

namespace lb {

/// Makes /sys/kernel/tracing a tracefs as this process sees it: in a mount namespace of its own, so
/// that nobody else does. Does nothing where there is one. Errors: errno of unshare(2) or mount(2).
[[nodiscard]] Status make_tracefs_visible();

}  // namespace lb
