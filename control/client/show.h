// SPDX-License-Identifier: Apache-2.0
// show vips | rs | flows | slots | ports | workers | neighbours | drops | handovers | bpf | memory
// | version: one call, one table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/client/session.h"

namespace lb::client {

struct FlowFilter {
  std::optional<std::string> service, rs, client;
  std::uint64_t limit = 1000;
};

ExitCode show_vips(Session& session);
/// All real servers, or those of one service.
ExitCode show_rs(Session& session, const std::optional<std::string>& service);
ExitCode show_flows(Session& session, const FlowFilter& filter);
ExitCode show_ports(Session& session);
ExitCode show_workers(Session& session);
ExitCode show_neighbours(Session& session);
/// `all`: also the reasons that never occurred.
ExitCode show_drops(Session& session, bool all);
/// What the XDP program handed to the workers and why. `all`: also the reasons that never occurred.
ExitCode show_handovers(Session& session, bool all);
ExitCode show_slots(Session& session, const std::string& service);
ExitCode show_bpf(Session& session);
ExitCode show_memory(Session& session);
/// lbctl's own version, and lbd's when it runs (it need not: Done either way).
ExitCode show_version(Session& session);

}  // namespace lb::client
