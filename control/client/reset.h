// SPDX-License-Identifier: Apache-2.0
// reset: removes what an lbd that died left behind: VIP addresses with our mark, an XDP program of
// ours and what it has pinned, offloads that it had switched off, lock and socket files. Local;
// refuses while lbd lives, and keeps off every interface that one holds.
#pragma once

#include <optional>
#include <string>

#include "control/client/session.h"
#include "dataplane/base/pin_dir.h"

namespace lb::client {

struct ResetOptions {
  std::optional<std::string> interface;  ///< only this one; else all
  bool force = false;                    ///< although an lbd answers, or holds an interface
  bool dry_run = false;                  ///< say what would be removed
  std::string pins = kPinsDefault;       ///< where lbd keeps its maps and links
  bool leave_forwarding = false;         ///< what pinned programs go on to forward stays
};

/// Done also when there was nothing. Partly: something could not be removed, and is named.
ExitCode reset(Session& session, const ResetOptions& options);

}  // namespace lb::client
