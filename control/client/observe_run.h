// SPDX-License-Identifier: Apache-2.0
// What the files of `lbctl observe` share: times as they were written, and the way of a command
// from there to its exit status.
#pragma once

#include <cstdint>
#include <string>

#include "control/client/observe.h"
#include "observe/frame/command.h"

namespace lb::client {

/// Leaves `ms` alone when `text` is empty. Errors: of parse_duration(), with the option's name.
[[nodiscard]] Status set_duration(const char* option, const std::string& text, std::uint64_t& ms);

/// Runs a tracer with these options.
ExitCode run_observe(Session& session, const std::string& tracer, const ObserveOptions& written,
                     const observe::MakeTracer& make);

}  // namespace lb::client
