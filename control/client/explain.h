// SPDX-License-Identifier: Apache-2.0
// explain: what would become of a packet, decision by decision.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/client/session.h"
#include "control/client/show_views.h"

namespace lb::client {

struct ExplainOptions {
  std::string client, vip;  ///< 198.51.100.7:51234, 192.0.2.10:80/tcp
  std::optional<std::string> flags, port;
  std::optional<std::uint64_t> ttl, length, vlan, queue;
};

/// Unhealthy when the packet would be dropped.
ExitCode explain(Session& session, const ExplainOptions& options);
/// What GET /v1/explain answers, a decision a line.
[[nodiscard]] std::string explain_view(JsonView answer, const Style& style);

}  // namespace lb::client
