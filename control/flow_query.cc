// SPDX-License-Identifier: Apache-2.0
// FlowQuery: filter and rows.
#include "control/flow_query.h"

#include "control/query_value.h"
#include "dataplane/base/clock.h"
#include "dataplane/table/tcp_state.h"

namespace lb {
namespace {

/// The address of the RS or sorry RS that a flow belongs to; null when it has been removed.
const IpAddr* rs_address(const Registry& registry, RsId id) {
  Registry::RsRef ref = registry.rs_at_slot(slot_of(id));
  if (ref.address == nullptr || (ref.entry != nullptr && ref.entry->id != id)) return nullptr;
  return ref.address;
}

}  // namespace

Result<FlowQuery> FlowQuery::parse(const std::map<std::string, std::string>& query) {
  FlowQuery result;
  for (const auto& [key, value] : query) {
    if (key == "service") {
      LB_TRY_ASSIGN(result.service, parse_as<ServiceAddr>(key, value));
    } else if (key == "rs") {
      LB_TRY_ASSIGN(result.rs, parse_as<IpAddr>(key, value));
    } else if (key == "client") {
      LB_TRY_ASSIGN(result.client, parse_as<IpAddr>(key, value));
    } else if (key == "limit") {
      LB_TRY_ASSIGN(result.limit, parse_limit(value, kLimitMax));
    } else {
      return refuse(Refusal::BadRequest,
                    "there is no filter \"" + key + "\"; there are service, rs, client and limit");
    }
  }
  return result;
}

FlowSelection select_flows(const FlowQuery& query, const Registry& registry,
                           const Dataplane& dataplane, TickMs now) {
  FlowSelection selection;
  dataplane.visit_flows([&](const FlowInfo& flow) {
    if (query.client && flow.client != *query.client) return true;
    const ServiceAddr* service = registry.find(flow.data.service);
    if (query.service && (service == nullptr || *service != *query.service)) return true;
    if (query.rs) {
      const IpAddr* rs = rs_address(registry, flow.data.rs);
      if (rs == nullptr || *rs != *query.rs) return true;
    }
    ++selection.total;
    if (selection.rows.size() >= query.limit) return true;
    Timeouts timeouts;
    if (service != nullptr) timeouts = registry.services().at(*service).settings.timeouts;
    auto idle = static_cast<std::uint64_t>(std::max(ms_since(now, flow.data.last_seen), 0));
    std::uint64_t lifetime = timeout_ms(flow.data.state, timeouts);
    selection.rows.push_back(
        {.flow = flow, .idle_ms = idle, .expires_ms = lifetime > idle ? lifetime - idle : 0});
    return true;
  });
  return selection;
}

}  // namespace lb
