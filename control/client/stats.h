// SPDX-License-Identifier: Apache-2.0
// stats [--rate] [--watch [SECONDS]] [SERVICE]: counters, or what they grew by a second between two
// answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/client/session.h"
#include "control/client/show_views.h"

namespace lb::client {

struct StatsOptions {
  std::optional<std::string> service;
  bool rate = false;
  std::optional<double> watch_s;  ///< again every so many seconds, 0.1 to 3600
  std::uint64_t count = 0;        ///< stop after so many tables; 0: never
  bool workers = false;           ///< also the counters of each worker
};

/// Without --watch one table (with --rate, of one second); with it one after the other until
/// Ctrl-C.
ExitCode stats(Session& session, const StatsOptions& options);

/// Counters of `now` as a table: a line a service and a line for each of its real servers.
[[nodiscard]] std::string counters_view(JsonView now, const Style& style);
/// Growth a second from `before` to `now` (their time_ns), the same lines. What is new in `now`
/// counts from 0; what shrank (lbd was started again) counts as 0.
[[nodiscard]] std::string rates_view(JsonView before, JsonView now, const Style& style);
/// The worker counters, one line a counter and a column a worker; all-zero lines are left out.
[[nodiscard]] std::string worker_counters_view(JsonView now, const Style& style);
/// The rates as an object: {"interval_s", "services": [{"address", "packets_per_s", …}]}.
[[nodiscard]] JsonObject rates_json(JsonView before, JsonView now);
/// `answer` with only the service of this address; an empty list when it is not there.
[[nodiscard]] JsonObject only_service(JsonView answer, std::string_view address);

}  // namespace lb::client
