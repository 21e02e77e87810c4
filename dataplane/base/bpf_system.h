// SPDX-License-Identifier: Apache-2.0
// All BPF programs and maps that the kernel holds now, whoever loaded them, and the switch of the
// kernel's run-time statistics. For lbctl; not for the packet path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

struct BpfProgramInfo {
  std::uint32_t id = 0;
  std::string name;               ///< the kernel keeps 15 characters
  std::string type;               ///< libbpf's name, e.g. "xdp"
  std::uint64_t runs = 0;         ///< while statistics were on
  std::uint64_t run_time_ns = 0;  ///< likewise
  std::uint64_t recursion_misses = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<std::uint32_t> maps;  ///< ids
};

struct BpfMapInfo {
  std::uint32_t id = 0;
  std::string name;
  std::string type;
  std::uint32_t entries_max = 0;
  std::uint64_t memory_bytes = 0;
  /// How many entries there are, for kinds where an entry is there or not (hash, trie).
  std::optional<std::uint64_t> entries;
};

/// Errors: EPERM with what to do; errno of bpf(2). What goes away meanwhile is left out.
[[nodiscard]] Result<std::vector<BpfProgramInfo>> all_bpf_programs();
/// The same of one program; nothing when it is gone.
[[nodiscard]] std::optional<BpfProgramInfo> bpf_program_info(std::uint32_t id);
/// With the entries counted, which takes about 100 ns each.
[[nodiscard]] std::optional<BpfMapInfo> bpf_map_info(std::uint32_t id);

/// While this object lives the kernel measures runs and time of every BPF program (some 20 ns a
/// run).
class BpfStatistics {
 public:
  /// Errors: EPERM; EINVAL before Linux 5.8.
  [[nodiscard]] static Result<BpfStatistics> enable();

 private:
  Fd fd_;
};

}  // namespace lb
