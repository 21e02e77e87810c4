// SPDX-License-Identifier: Apache-2.0
// Unix sockets as lbd uses them: the API's listener, which replaces the file of a dead lbd but
// never that of a living one, and a lock per interface, by which a second lbd on the same interface
// is refused. Called at start.
#pragma once

#include <optional>
#include <string>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// Listens on `path`, mode 0660, group `sluice` where there is one. Makes the folder (0755). Errors
/// in words: taken by a living process (its pid), something that is no socket, path too long, no
/// permission.
[[nodiscard]] Result<Fd> listen_unix(const std::string& path);

/// Holds the interface for this process (an abstract socket, so it ends with the process and is per
/// network namespace). EBUSY with the pid of the holder.
[[nodiscard]] Result<Fd> lock_interface(const std::string& interface);

/// The pid of the lbd that holds the interface by lock_interface() (0: it does not answer), or
/// nullopt when none does.
[[nodiscard]] std::optional<int> interface_holder(const std::string& interface);

}  // namespace lb
