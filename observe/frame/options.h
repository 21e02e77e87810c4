// SPDX-License-Identifier: Apache-2.0
// What every `lbctl observe` command takes: targets, times, outputs. Data, and the checks that need
// nothing but the options themselves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

/// Which processes, as the user said it; at most one kind.
struct TargetOptions {
  std::vector<std::uint32_t> pids;
  std::string comm;
  std::string cgroup;                   ///< a path, under /sys/fs/cgroup or absolute
  std::optional<std::uint32_t> daemon;  ///< --lbd: the process that answers on the API socket
  std::vector<std::string> command;     ///< started, and followed through its forks
};

struct CommonOptions {
  TargetOptions target;
  std::uint64_t interval_ms = 0;   ///< 0: only at the end
  std::uint64_t duration_ms = 0;   ///< 0: until Ctrl-C, or the end of the command
  std::uint64_t count = 0;         ///< of intervals; 0: no limit
  std::optional<std::size_t> top;  ///< rows; 0: all; not given: 20 in tables
  std::vector<std::string> by;     ///< dimensions of a row; empty: the tracer's
  std::string sort;                ///< measure; empty: the first
  std::string format = "table";
  std::string output;         ///< file; empty: stdout
  std::string record;         ///< file
  std::string replay;         ///< file; then nothing is attached
  std::string fail_if;        ///< a condition
  std::uint64_t mark_ms = 0;  ///< when a mark is taken; 0: none but by SIGUSR1
  bool since_mark = false;    ///< show what changed since the mark
  double budget_percent = 0;  ///< of one CPU that tracing may take; 0: no limit
  bool dry_run = false;
  bool human = true;
};

/// Errors: EINVAL with the option that is wrong.
[[nodiscard]] Status check(const CommonOptions& options);

}  // namespace lb::observe
