// SPDX-License-Identifier: Apache-2.0
// What systemd wants to be told (sd_notify(3)), over $NOTIFY_SOCKET, without its library. Does
// nothing when lbd was not started by systemd.
#pragma once

#include <string_view>

namespace lb {

/// `state`: "READY=1", "STOPPING=1", "STATUS=...", several of them by lines. Failures are ignored.
void notify_systemd(std::string_view state);
/// WATCHDOG=1, when the unit has a WatchdogSec for this process: "all is well".
void notify_systemd_alive();
/// RELOADING=1 with the time that Type=notify-reload asks for.
void notify_systemd_reloading();

}  // namespace lb
