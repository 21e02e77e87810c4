// SPDX-License-Identifier: Apache-2.0
// ProcessMaps: the executable mappings of one process, as /proc/PID/maps gave them at one moment.
// One thread; a plain value. The text is of a traced process, so it is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

enum class MappingKind : std::uint8_t {
  File,       ///< of a file with a path, still there or not
  Memfd,      ///< of memfd_create(2), or of shared memory without a path in a file system
  Vdso,       ///< the kernel's own code in user space
  Anonymous,  ///< no file: code made at run time
  Special,    ///< another name in brackets, such as [vsyscall]
};

struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;  ///< behind it
  std::uint64_t file_offset = 0;
  std::uint64_t inode = 0;  ///< 0: no file
  std::string path;         ///< as the process sees it, without " (deleted)"; or "[vdso]", or empty
  MappingKind kind = MappingKind::Anonymous;
  bool deleted = false;  ///< no file of this path is the one that is mapped

  bool operator==(const Mapping&) const = default;
};

class ProcessMaps {
 public:
  ProcessMaps() = default;
  /// The executable mappings in such a text; of overlapping ones (they changed while the text was
  /// read) the first. Errors: EINVAL with the number of the line that is none.
  [[nodiscard]] static Result<ProcessMaps> parse(std::string_view text);
  /// Of a process now; none of a kernel thread and of a zombie. Errors: ESRCH: it is gone; EACCES:
  /// not ours to see; EFBIG: over 64 MiB of text.
  [[nodiscard]] static Result<ProcessMaps> read(std::uint32_t pid);

  /// By address.
  [[nodiscard]] std::span<const Mapping> mappings() const noexcept { return mappings_; }
  /// Nothing when no executable mapping holds the address. Valid until this goes.
  [[nodiscard]] const Mapping* find(std::uint64_t address) const noexcept;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

  bool operator==(const ProcessMaps&) const = default;

 private:
  std::vector<Mapping> mappings_;
};

}  // namespace lb::observe
