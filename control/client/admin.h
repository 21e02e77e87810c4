// SPDX-License-Identifier: Apache-2.0
// save, check, reload, panic, check-health: what an operator does to lbd as a whole.
#pragma once

#include <optional>
#include <string>

#include "control/client/session.h"

namespace lb::client {

/// The running state as TOML to stdout, or to `file` (written beside it and renamed, mode 0640).
ExitCode save(Session& session, const std::optional<std::string>& file);
/// Has the running lbd check a config file ("-": stdin); nothing changes.
ExitCode check(Session& session, const std::string& file);
ExitCode reload(Session& session);
/// "on", "off" or "status".
ExitCode panic(Session& session, const std::string& what);
/// Unhealthy when a service (or the one asked for) has no RS that takes new flows.
ExitCode check_health(Session& session, const std::optional<std::string>& service);

}  // namespace lb::client
