// SPDX-License-Identifier: Apache-2.0
// State: what lbd remembers over a restart: hash keys, run-time changes (overlay), last known
// health, panic. One JSON file, mode 0600, replaced whole (temporary file, fsync, rename).
// Control's thread, at start and after changes.
#pragma once

#include <cstdint>
#include <string>

#include "control/overlay.h"
#include "control/table_builder.h"
#include "dataplane/base/result.h"

namespace lb {

struct State {
  HashKeys keys;
  Overlay overlay;
  HealthMemory health;
  bool panic = false;
};

/// The clocks at one moment. The deadline of a drain is a time of now_ms's clock, which begins anew
/// with every boot; the file keeps what is left of it and when that was so.
struct StateClock {
  std::uint64_t now_ms = 0;  ///< CLOCK_MONOTONIC, as RsEntry's times
  std::uint32_t boot_s = 0;  ///< CLOCK_BOOTTIME
  std::uint32_t wall_s = 0;  ///< CLOCK_REALTIME
  std::string boot_id;       ///< /proc/sys/kernel/random/boot_id; empty: cannot be read
  [[nodiscard]] static StateClock read();
};
/// How long ago `saved` was: by the boot clock within one boot, else by the wall clock. A wall
/// clock that went back since counts as no time: a drain is prolonged, by its own timeout at most.
[[nodiscard]] std::uint64_t elapsed_ms(const StateClock& saved, const StateClock& now);

struct LoadedState {
  State state;
  /// One line for the log when something was wrong or new; empty when a good file was read.
  std::string note;
};

/// Reads `path`, and the access lists beside it. No file: fresh random keys, and no lists. A file
/// that cannot be understood is moved aside to `path`.bad (.bad.1, ...) and the start goes on with
/// fresh keys; the note says so. Errors: the file or its folder cannot be read or moved.
[[nodiscard]] Result<LoadedState> load_state(const std::string& path);
/// Replaces `path`; makes its folder (0750) when it is missing. The access lists of the overlay are
/// AclJournal's to save.
[[nodiscard]] Status save_state(const std::string& path, const State& state);

/// Where the AclJournal of a state file is.
[[nodiscard]] std::string acl_journal_path(const std::string& state_path);

}  // namespace lb
