// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/options.h"

#include <fmt/format.h>

#include <cerrno>
#include <string>

namespace lb::observe {

Status check(const CommonOptions& options) {
  if (options.count != 0 && options.interval_ms == 0) {
    return fail(EINVAL, "--count counts intervals: give --interval too");
  }
  if (options.since_mark && options.mark_ms == 0 && options.replay.empty() &&
      options.interval_ms == 0) {
    return fail(EINVAL,
                "--since-mark needs a mark: give --mark TIME, or --interval and send SIGUSR1");
  }
  if (options.mark_ms != 0 && options.duration_ms != 0 && options.mark_ms >= options.duration_ms) {
    return fail(EINVAL, "--mark is not before the end of --duration");
  }
  const auto& command = options.target.command;
  if (command.size() == 1 && command[0].find_first_not_of("0123456789") == std::string::npos) {
    return fail(EINVAL, fmt::format("{0} is taken for a command: write -p {0} for a process, or "
                                    "./{0}",
                                    command[0]));
  }
  if (!options.replay.empty()) {
    if (!options.record.empty()) return fail(EINVAL, "--replay and --record exclude each other");
    if (options.dry_run) return fail(EINVAL, "--replay attaches nothing: leave --dry-run out");
    if (options.duration_ms != 0 || options.count != 0 || options.budget_percent > 0) {
      return fail(EINVAL,
                  "--replay shows what was recorded: leave --duration, --count and --budget out");
    }
    const auto& target = options.target;
    if (!target.pids.empty() || !target.comm.empty() || !target.cgroup.empty() || target.daemon ||
        !target.command.empty()) {
      return fail(EINVAL, "--replay shows what was recorded: leave the target out");
    }
  }
  return {};
}

}  // namespace lb::observe
