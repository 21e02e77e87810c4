// SPDX-License-Identifier: Apache-2.0
// The files that a process has code of, by paths that stay good in other mount namespaces and for
// files that were deleted. One thread; called at attach and when objects were added.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

/// A file that a process has code of.
struct CodeFile {
  std::string path;   ///< where this process can open it, and the kernel too
  std::string shown;  ///< as the traced process sees it
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

/// The files that process `pid` has executable mappings of, each once, the program first. A file
/// in another mount namespace, or deleted, is given by a path below /proc/PID. Errors: ESRCH: it is
/// gone; ENOEXEC: it is a 32-bit process; errno of /proc.
[[nodiscard]] Result<std::vector<CodeFile>> code_files_of(std::uint32_t pid);

}  // namespace lb::observe
