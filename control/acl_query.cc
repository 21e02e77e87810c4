// SPDX-License-Identifier: Apache-2.0
#include "control/acl_query.h"

#include <fmt/format.h>

#include "control/query_value.h"
#include "dataplane/base/text.h"

namespace lb {
namespace {

void select(const AclQuery& query, const ServiceAddr& address, const ServiceEntry& service,
            const Dataplane& dataplane, AclSelection& selection) {
  std::span<const AclEntry> entries = service.acl.entries();
  if (query.match) {
    const AclEntry* decides = service.acl.match(*query.match);
    entries = decides != nullptr ? std::span(decides, 1) : std::span<const AclEntry>();
  }
  selection.total += entries.size();
  for (const AclEntry& entry : entries) {
    if (selection.rows.size() >= query.limit) return;
    selection.rows.push_back({address, entry, dataplane.acl_count(service.id, entry)});
  }
}

}  // namespace

Result<AclQuery> AclQuery::parse(const std::map<std::string, std::string>& query) {
  AclQuery result;
  for (const auto& [key, value] : query) {
    if (key == "service") {
      LB_TRY_ASSIGN(result.service, parse_as<ServiceAddr>(key, value));
    } else if (key == "match") {
      LB_TRY_ASSIGN(result.match, parse_as<IpAddr>(key, value));
    } else if (key == "limit") {
      LB_TRY_ASSIGN(result.limit, parse_limit(value, kLimitMax));
    } else {
      return refuse(Refusal::BadRequest,
                    "the query has " + quoted(key) + ", and service, match and limit are known");
    }
  }
  return result;
}

Result<AclSelection> select_acl(const AclQuery& query, const Registry& registry,
                                const Dataplane& dataplane) {
  AclSelection selection;
  if (query.service) {
    LB_TRY_ASSIGN(const ServiceEntry* service, registry.service(*query.service));
    if (query.match && query.match->family() != query.service->vip.family()) {
      return refuse(Refusal::BadRequest,
                    fmt::format("match: {} is no client of {}: it is of the other family",
                                query.match->to_string(), query.service->to_string()));
    }
    select(query, *query.service, *service, dataplane, selection);
    return selection;
  }
  for (const auto& [address, service] : registry.services()) {
    if (query.match && query.match->family() != address.vip.family()) continue;
    select(query, address, service, dataplane, selection);
  }
  return selection;
}

}  // namespace lb
