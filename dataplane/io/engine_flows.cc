// SPDX-License-Identifier: Apache-2.0
// Engine: the flows of all workers, read while the workers write them.
#include <algorithm>

#include "dataplane/io/engine.h"
#include "dataplane/table/tcp_state.h"

namespace lb {
namespace {

constexpr std::uint32_t kBucketsAtOnce = 256;

FlowInfo flow_info(WorkerIndex worker, const FlowKey4& key, const FlowData& data) {
  return {.worker = worker,
          .client = IpAddr::v4(key.client),
          .vip = IpAddr::v4(key.vip),
          .client_port = key.client_port.host(),
          .vip_port = key.vip_port.host(),
          .proto = static_cast<Proto>(key.proto),
          .data = data};
}

FlowInfo flow_info(WorkerIndex worker, const FlowKey6& key, const FlowData& data) {
  return {.worker = worker,
          .client = IpAddr::v6(key.client),
          .vip = IpAddr::v6(key.vip),
          .client_port = key.client_port.host(),
          .vip_port = key.vip_port.host(),
          .proto = static_cast<Proto>(key.proto),
          .data = data};
}

/// Flows of a service that is gone count as expired; the workers' ageing takes them out. Before the
/// first generation nothing is known of services: whatever an lbd before has left counts.
bool is_alive(const FlowData& data, const ServiceTable* table, TickMs now) {
  if (table == nullptr) return true;
  const Service* service = table->service(data.service);
  if (service == nullptr) return false;
  std::int32_t idle = ms_since(now, data.last_seen);
  return idle < 0 || static_cast<std::uint32_t>(idle) < timeout_ms(data.state, service->timeouts);
}

/// False when `visit` wants no more.
template <class Key>
bool visit_table(const FlowTable<Key>& flows, WorkerIndex worker, const ServiceTable* table,
                 TickMs now, const std::function<bool(const FlowInfo&)>& visit) {
  bool more = true;
  for (std::uint32_t first = 0; more && first < flows.buckets(); first += kBucketsAtOnce) {
    std::uint32_t count = std::min(kBucketsAtOnce, flows.buckets() - first);
    flows.read_range(first, count, [&](const Key& key, const FlowData& data) {
      if (more && is_alive(data, table, now)) more = visit(flow_info(worker, key, data));
    });
  }
  return more;
}

}  // namespace

void Engine::visit_flows(const std::function<bool(const FlowInfo&)>& visit) const {
  const ServiceTable* table = tables_.current();
  TickMs now = tick_ms_now();
  for (std::size_t i = 0; i < units_.size(); ++i) {
    auto worker = static_cast<WorkerIndex>(i);
    const Pipeline& path = *units_[i]->path;
    if (!visit_table(path.flows4(), worker, table, now, visit)) return;
    if (!visit_table(path.flows6(), worker, table, now, visit)) return;
  }
}

}  // namespace lb
