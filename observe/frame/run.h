// SPDX-License-Identifier: Apache-2.0
// The loop of `lbctl observe`: attach, a Report each interval, the last one after detach; signals,
// the end of a command or of all target processes. One thread; SIGINT, SIGTERM, SIGHUP, SIGQUIT
// and SIGUSR1 are taken while it runs, SIGPIPE is ignored.
#pragma once

#include <iosfwd>

#include "observe/frame/child.h"
#include "observe/frame/options.h"
#include "observe/frame/stream.h"
#include "observe/tracer.h"

namespace lb::observe {

/// Runs until the end that the options name. `child`: let go once the tracer is attached; null:
/// none. `targets`: whose end is the end. Errors: of attaching, reading, writing; the last Report
/// is shown all the same where there is one.
[[nodiscard]] Status run_tracer(Tracer& tracer, const CommonOptions& options,
                                const TargetSet& targets, Child* child, ReportStream& stream,
                                std::ostream& err);

/// Shows a record as run_tracer() showed what is in it. Errors: of reading and writing.
[[nodiscard]] Status run_replay(const CommonOptions& options, const std::string& tracer,
                                ReportStream& stream, std::ostream& err);

}  // namespace lb::observe
