// SPDX-License-Identifier: Apache-2.0
// The answers of the API (docs/api.md) as JSON text, from the registry and what the data plane
// tells. Pure functions; control's one thread calls them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/acl_query.h"
#include "control/memory_plan.h"
#include "control/registry.h"
#include "control/stats.h"
#include "control/table_builder.h"
#include "dataplane/dataplane.h"

namespace lb {

/// What the answers about services and RS are made of.
struct ViewInput {
  const Registry& registry;
  const Stats& stats;
  const NextHops& next_hops;
  std::uint64_t now_ms = 0;  ///< the clock of RsEntry's times
};

/// A row of GET /v1/neighbours; the resolver makes it.
struct NeighbourInfo {
  IpAddr real_server;
  std::string interface;
  std::optional<MacAddr> mac;
  std::string state;  ///< "reachable", "stale", "incomplete", "failed", ..., "manual"
  bool manual = false;
  std::uint64_t age_ms = 0;
};

struct VersionInfo {
  int pid = 0;
  std::uint64_t uptime_s = 0;
  Generation generation = Generation::None;
  std::string config;  ///< path of the config file
  lb_hash_kind hash = LB_HASH_MULTIPLY_MIX;
};

/// A flow as visit_flows gives it, with what it has left.
struct FlowRow {
  FlowInfo flow;
  std::uint64_t idle_ms = 0, expires_ms = 0;
};

/// What GET /v1/explain asked and was told.
struct ExplainView {
  const Registry& registry;
  const ExplainRequest& request;
  const Explanation& answer;
  std::span<const PortInfo> ports;
  TickMs now = 0;            ///< the clock of flows
  std::uint32_t boot_s = 0;  ///< as of slot_shares()
};

// The bodies of GET answers:
[[nodiscard]] std::string version_json(const VersionInfo& info);
[[nodiscard]] std::string services_json(const ViewInput& view);
/// REQUIRES: the registry has them.
[[nodiscard]] std::string service_json(const ViewInput& view, const ServiceAddr& service);
[[nodiscard]] std::string rs_json(const ViewInput& view, const ServiceAddr& service,
                                  const IpAddr& rs);
/// `table`: what Controller::slot_table() answers; null: no slots. `boot_s`: as of slot_shares().
[[nodiscard]] std::string slots_json(const ServiceAddr& service, const ServiceSettings& settings,
                                     const TableObject* table, std::uint32_t boot_s);
[[nodiscard]] std::string flows_json(const Registry& registry, std::span<const FlowRow> flows,
                                     std::uint64_t total);
[[nodiscard]] std::string acl_json(const Registry& registry, const AclSelection& selection);
/// After a change of an access list: how many entries it had and has.
[[nodiscard]] std::string acl_change_json(const ServiceAddr& service, std::size_t before,
                                          std::size_t after);
[[nodiscard]] std::string ports_json(std::span<const PortInfo> ports);
[[nodiscard]] std::string workers_json(std::span<const WorkerInfo> workers);
[[nodiscard]] std::string neighbours_json(std::span<const NeighbourInfo> neighbours);
[[nodiscard]] std::string drops_json(std::span<const PortInfo> ports,
                                     std::span<const WorkerInfo> workers, const Stats& stats);
[[nodiscard]] std::string handovers_json(std::span<const PortInfo> ports);
[[nodiscard]] std::string bpf_json(std::span<const BpfObjectInfo> objects);
[[nodiscard]] std::string stats_json(const ViewInput& view, std::span<const WorkerInfo> workers,
                                     std::span<const PortInfo> ports, std::uint64_t time_ns);
[[nodiscard]] std::string memory_json(const MemoryPlan& plan);
/// REQUIRES: request.port is one of `ports`.
[[nodiscard]] std::string explain_json(const ExplainView& view);
// The others:
[[nodiscard]] std::string check_json(const Config& config, const MemoryPlan& plan);
[[nodiscard]] std::string reload_json(const ReloadReport& report);
[[nodiscard]] std::string panic_json(bool on);
/// {"error": {"code", "message"}}; its status is http_status(error).
[[nodiscard]] std::string error_json(const Error& error);

}  // namespace lb
