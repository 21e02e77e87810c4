// SPDX-License-Identifier: Apache-2.0
// Symboliser: gives the frames of a Report their names. One thread, the one that reads the tracer;
// blocks on files. It remembers what it has met: mappings of processes, objects and addresses; so
// one Symboliser serves all the Reports of a run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/report.h"
#include "observe/symbols/address_spaces.h"
#include "observe/symbols/kernel_symbols.h"
#include "observe/symbols/object_table.h"

namespace lb::observe {

class Symboliser {
 public:
  explicit Symboliser(const ObjectTable::Limits& limits = {}) : objects_(limits) {}

  /// Reads the mappings of a process and opens the files, so that its frames can be resolved when
  /// it has ended: call it when a process is noticed, and again before it goes. Errors: as
  /// AddressSpaces::learn.
  [[nodiscard]] Status learn(std::uint32_t pid) { return spaces_.learn(pid, objects_); }

  /// Fills `places`, `object` and `offset` of the frames whose places are empty, and adds to
  /// `objects`. The mappings of live processes are read again first. A frame that is a leaf in
  /// every stack (the first one, or the first user one) is looked up at its address, any other one
  /// at the byte before, which is in the call. A frame that has an object already is one of a
  /// record: it is found by build-id. What cannot be resolved stays as it is.
  /// Errors: the kernel's symbols cannot be read (KernelSymbols::read), and there is a kernel
  /// frame; all others are resolved then.
  [[nodiscard]] Status resolve(Report& report);

  /// The kernel's symbols as they were last read; reads them at first. Valid until the next call
  /// of resolve(). Errors: as KernelSymbols::read; they are kept.
  [[nodiscard]] Result<const KernelSymbols*> kernel();
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  [[nodiscard]] Status resolve_kernel(Report& report, const std::vector<bool>& calls);
  void resolve_user(Report& report, const std::vector<bool>& calls);

  ObjectTable objects_;
  AddressSpaces spaces_;
  std::optional<Result<KernelSymbols>> kernel_;
  /// Addresses of modules and BPF programs that were looked up already: a new one may be of code
  /// that was loaded after the symbols were read.
  std::unordered_set<std::uint64_t> outside_core_;
};

}  // namespace lb::observe
