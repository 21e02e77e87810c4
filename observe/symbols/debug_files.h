// SPDX-License-Identifier: Apache-2.0
// Where the debug information of a stripped file may be: by build-id, and by the name that the file
// gives. Blocks. Asks no server: a tracer must not wait for the network.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "observe/symbols/elf_file.h"
#include "observe/symbols/object_files.h"

namespace lb::observe {

/// The separate debug file of `file`, whose path is `path` under `root`: under that root first and
/// then under ours, /usr/lib/debug/.build-id/xx/yyyy.debug, and the name of .gnu_debuglink in the
/// same directory, in its .debug, and in /usr/lib/debug/DIRECTORY. Its build-id is the same, or
/// where the file has none its CRC is the one that the file gives.
[[nodiscard]] std::optional<ElfFile> find_debug_file(const ElfFile& file, const std::string& path,
                                                     const Root& root);

/// A debug file by its build-id alone, of a file that is not there (any more), as above.
[[nodiscard]] std::optional<ElfFile> find_debug_file(const std::string& build_id, const Root& root);

/// A file at `path` under `root` that has this build-id.
[[nodiscard]] std::optional<ElfFile> find_by_path(const std::string& path,
                                                  const std::string& build_id, const Root& root);

/// The file that several debug files of a package share a part of their DWARF in (dwz), which
/// `file`, at `path`, names as `name` with this build-id.
[[nodiscard]] std::optional<ElfFile> find_shared_debug_file(const std::string& name,
                                                            const std::string& build_id,
                                                            const Root& root);

}  // namespace lb::observe
