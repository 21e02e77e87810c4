// SPDX-License-Identifier: Apache-2.0
// One `lbctl observe` command from its options to its end: the command to trace, the targets, the
// dry run, the replay, the loop, and what came of it. The door of observe/ for lbctl.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "observe/frame/options.h"
#include "observe/symbols/symboliser.h"
#include "observe/tracer.h"

namespace lb::observe {

enum class Outcome : std::uint8_t {
  Done,
  Failed,          ///< the environment; the message has been written
  Usage,           ///< the options; likewise
  ConditionHolds,  ///< --fail-if
};

/// Where a command writes, and how.
struct Terminal {
  std::ostream& out;
  std::ostream& err;
  bool colour = false;
};

/// Makes the tracer for these targets. `symbols` lives as long as the tracer. Errors: EINVAL for
/// options that do not go together.
using MakeTracer =
    std::function<Result<std::unique_ptr<Tracer>>(const TargetSet& targets, Symboliser& symbols)>;

/// `tracer`: the word after `observe`.
[[nodiscard]] Outcome run_command(const std::string& tracer, const CommonOptions& options,
                                  const MakeTracer& make, const Terminal& terminal);

/// The text of --dry-run, for people or as one JSON object.
[[nodiscard]] std::string plan_text(const std::string& tracer, const std::string& target,
                                    const Plan& plan, bool json);

}  // namespace lb::observe
