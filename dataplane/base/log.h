// SPDX-License-Identifier: Apache-2.0
// The log: spdlog to stderr, one line an event. Not for the batch loop (it counts instead).
// Under systemd (JOURNAL_STREAM set) lines carry no time of their own: the journal has it.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace lb {

/// Sets the pattern and the level ("debug", "info", "warn", "error"). Call once, first thing in
/// main.
void log_init(std::string_view level);

}  // namespace lb
