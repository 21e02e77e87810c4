// SPDX-License-Identifier: Apache-2.0
// UnwindTables: fills the kernel maps of bpf/observe_unwind.bpf.h. A process is learned when
// somebody asks for it or a program met it; the table of an object is compiled when the first
// process that maps it is learned, shared by all of them, and goes with the last. Borrows the maps.
// One thread; takes milliseconds, so not in an event path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include "bpf/observe_unwind.h"
#include "dataplane/base/bpf_map.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/result.h"
#include "observe/symbols/object_files.h"
#include "observe/symbols/process_maps.h"
#include "observe/unwind/elf_layout.h"

namespace lb::observe {

/// What the unwinder's own maps hold for each CPU, from the start.
inline constexpr std::size_t kUnwindBytesOfCpu =
    OBSERVE_UNWIND_KNOWN * sizeof(observe_unwind_known) + OBSERVE_WALKED * sizeof(observe_walked) +
    OBSERVE_WALKED_AT_ONCE * OBSERVE_WALKED_BYTES;

class UnwindTables {
 public:
  /// For an object that includes observe_unwind.bpf.h; it outlives this. Other objects share its
  /// maps by BpfSpec::shared_maps. Errors: NoSuchSymbol (BpfError), errno of bpf(2).
  [[nodiscard]] static Result<UnwindTables> open(const BpfObject& object);

  /// Makes the stacks of a process (thread group) whole from now on. Again: as it is now (after
  /// exec, dlopen). An object that cannot be read does not fail it: stacks end there. Errors:
  /// ESRCH: there is no such process, and it is forgotten; errno of bpf(2).
  [[nodiscard]] Status learn(std::uint32_t pid);
  /// Its stacks are walked blindly from now on. Errors: errno of bpf(2).
  [[nodiscard]] Status forget(std::uint32_t pid);
  /// Learns the processes in which programs met an address that no known mapping holds; what an
  /// event loop calls now and then. Those that cannot be learned are left out. Gives how many were
  /// learned. Errors: errno of bpf(2).
  [[nodiscard]] Result<std::size_t> learn_wanted();
  /// Forgets processes that have ended, also where another one has the same pid by now.
  /// Errors: errno of bpf(2).
  [[nodiscard]] Status forget_ended();

  [[nodiscard]] std::size_t processes() const { return processes_.size(); }
  /// Objects with a table, rows of all of them, and kernel memory of the tables and lists.
  [[nodiscard]] std::size_t objects() const;
  [[nodiscard]] std::size_t rows() const;
  [[nodiscard]] std::size_t memory_bytes() const;
  /// Mappings where stacks end because their object could not be read or there was no room, now.
  [[nodiscard]] std::size_t mappings_without_table() const;

 private:
  struct Object {
    ElfLayout layout;
    std::uint32_t index = 0;
    std::uint32_t chunks = 0;  // 0: no table, frame pointers
    std::size_t rows = 0;
  };
  // Device, inode, bytes, nanoseconds of the last change; zeros: the vdso.
  using Identity = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;
  struct Process {
    std::uint64_t started = 0;
    std::vector<observe_unwind_mapping> mappings;
    std::vector<std::shared_ptr<Object>> objects;
    std::size_t without_table = 0;
  };

  UnwindTables(BpfMap processes, BpfMap tables, BpfMap wanted, BpfMap same);
  [[nodiscard]] Status read_process(std::uint32_t pid, Process& process);
  /// As the kernel has it; keeps the object in `process`.
  [[nodiscard]] observe_unwind_mapping mapping_of(std::uint32_t pid, const Mapping& mapping,
                                                  const Root& root, Process& process);
  [[nodiscard]] Result<std::shared_ptr<Object>> object_of(std::uint32_t pid, const Mapping& mapping,
                                                          const Root& root);
  [[nodiscard]] Result<std::shared_ptr<Object>> object_by(const Identity& identity,
                                                          const ReadAt& bytes);
  [[nodiscard]] Status publish_table(Object& object, std::span<const observe_unwind_row> rows);
  [[nodiscard]] Status publish_mappings(std::uint32_t pid,
                                        std::span<const observe_unwind_mapping> mappings) const;
  [[nodiscard]] Status drop_unused();

  BpfMap process_map_;
  BpfMap table_map_;
  BpfMap wanted_map_;
  BpfMap same_map_;
  std::map<Identity, std::shared_ptr<Object>> objects_;
  std::map<std::uint32_t, Process> processes_;
  std::vector<bool> used_;  // of the indexes of table_map_
};

}  // namespace lb::observe
