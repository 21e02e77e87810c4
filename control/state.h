// SPDX-License-Identifier: Apache-2.0
// State: what lbd remembers over a restart: hash keys, run-time changes (overlay), last known
// health. One JSON file, mode 0600, replaced whole (temporary file, fsync, rename). Control's
// thread, at start and after changes.
#pragma once

#include <string>

#include "control/overlay.h"
#include "control/table_builder.h"
#include "dataplane/base/result.h"

namespace lb {

struct State {
  HashKeys keys;
  Overlay overlay;
  HealthMemory health;
};

struct LoadedState {
  State state;
  /// One line for the log when something was wrong or new; empty when a good file was read.
  std::string note;
};

/// Reads `path`. No file: fresh random keys. A file that cannot be understood is moved aside to
/// `path`.bad (.bad.1, ...) and the start goes on with fresh keys; the note says so. Errors: the
/// file or its folder cannot be read or moved.
[[nodiscard]] Result<LoadedState> load_state(const std::string& path);
/// Replaces `path`; makes its folder (0750) when it is missing.
[[nodiscard]] Status save_state(const std::string& path, const State& state);

}  // namespace lb
