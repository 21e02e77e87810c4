// SPDX-License-Identifier: Apache-2.0
// What the process may do, checked before anything is opened, so that the error names the
// capability and not a system call.
#pragma once

#include "dataplane/base/result.h"

namespace lb {

/// EPERM with every capability that lbd needs and this process lacks, and how to get them.
[[nodiscard]] Status check_capabilities();

/// Raises the soft limit of file descriptors to the hard one: a health check takes one each.
void raise_file_limit();

}  // namespace lb
