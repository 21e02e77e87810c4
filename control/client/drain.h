// SPDX-License-Identifier: Apache-2.0
// drain-rs: no new flows for a real server, then out with it when its last flow has ended.
// With --wait it asks lbd until the RS is gone and tells what is left.
#pragma once

#include <string>

#include "control/client/session.h"

namespace lb::client {

struct DrainOptions {
  std::string service, address;
  std::string timeout = "5m";  ///< a duration; "0": wait for the last flow however long it takes
  bool wait = false;
  int poll_ms = 500;  ///< how often --wait asks
};

/// Done: the drain began, or with `wait` the RS left with no flow cut. Partly: it left at the
/// timeout with flows still living. Failed: refused, or the drain was taken back while we waited.
ExitCode drain_rs(Session& session, const DrainOptions& options);

/// One line on what is left, from a RealServer object.
[[nodiscard]] std::string drain_line(JsonView rs);

}  // namespace lb::client
