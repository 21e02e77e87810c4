// SPDX-License-Identifier: Apache-2.0
// AddressSpaces: which object an address of a process is in, also when the process has ended or
// has mapped other files since. One thread. An address that was in two files in turn (exec of a
// program that is not position-independent; a process id used again) is of the later one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/symbols/object_table.h"
#include "observe/symbols/process_maps.h"

namespace lb::observe {

class AddressSpaces {
 public:
  struct Found {
    std::uint32_t object = kNone;  ///< in the ObjectTable
    std::uint64_t address = 0;     ///< ELF virtual address; of an object that is no ELF file or
                                   ///< cannot be read the offset in the file
  };

  /// Reads the mappings that the process has now, and opens what is new. Keeps those of before.
  /// Errors: as ProcessMaps::read; ESRCH: it has ended, or is a thread of the kernel.
  [[nodiscard]] Status learn(std::uint32_t pid, ObjectTable& objects);
  [[nodiscard]] std::optional<Found> find(std::uint32_t pid, std::uint64_t address,
                                          const ObjectTable& objects) const;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  struct Generation {
    ProcessMaps maps;
    std::vector<std::uint32_t> objects;  // of each mapping
  };
  struct Process {
    std::vector<Generation> generations;  // the newest last
    std::uint64_t learned = 0;
  };

  std::unordered_map<std::uint32_t, Process> processes_;
  std::uint64_t clock_ = 0;
};

}  // namespace lb::observe
