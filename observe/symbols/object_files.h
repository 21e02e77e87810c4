// SPDX-License-Identifier: Apache-2.0
// Opening the files that code was mapped from, as the traced process sees them, and nothing else:
// only regular files, links followed inside the process's own root, never a wait at a FIFO.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"
#include "observe/symbols/process_maps.h"

namespace lb::observe {

/// The root directory of another mount namespace or chroot; null: ours. A namespace loses its
/// mounts with its last process, whoever holds its root.
using Root = std::shared_ptr<const Fd>;

/// Which file it is, for as long as it is open.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;

  auto operator<=>(const FileId&) const = default;
};
/// Errors: errno of fstat(2).
[[nodiscard]] Result<FileId> file_id(const Fd& file);

/// A regular file, for reading, by its path under `root`. Errors: errno of openat2(2); EINVAL: it
/// is no regular file.
[[nodiscard]] Result<Fd> open_under(const Root& root, const std::string& path);

/// Where paths of the process begin; null when that is our own root, or not ours to see.
[[nodiscard]] Root root_of(std::uint32_t pid);

/// The very file that is mapped there, also when it was deleted or has no path (this needs
/// CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE); else by its path, when that leads to the same inode.
/// Errors: ESTALE: another file has the path now; as open_under().
[[nodiscard]] Result<Fd> open_mapped(std::uint32_t pid, const Mapping& mapping, const Root& root);

}  // namespace lb::observe
