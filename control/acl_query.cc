// SPDX-License-Identifier: Apache-2.0
#include "control/acl_query.h"

#include <fmt/format.h>

#include <charconv>

#include "control/refusal.h"
#include "dataplane/base/text.h"

namespace lb {
namespace {

Result<std::size_t> parse_limit(const std::string& text) {
  std::size_t limit = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, limit);
  if (error == std::errc{} && stop == end && limit != 0 && limit <= AclQuery::kLimitMax) {
    return limit;
  }
  return refuse(Refusal::BadRequest, fmt::format("limit: {} is no number from 1 to {}",
                                                 quoted(text), AclQuery::kLimitMax));
}

template <class T>
Result<T> parse_as(const std::string& key, const std::string& text) {
  auto value = T::parse(text);
  if (!value) return refuse(Refusal::BadRequest, key + ": " + value.error().message);
  return *value;
}

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
      LB_TRY_ASSIGN(result.limit, parse_limit(value));
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
