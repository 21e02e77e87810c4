// SPDX-License-Identifier: Apache-2.0
// AclQuery: GET /v1/acl: the filter of its query, and the entries of access lists that it selects,
// with what they have decided for. Director's thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/registry.h"
#include "dataplane/dataplane.h"

namespace lb {

struct AclQuery {
  std::optional<ServiceAddr> service;
  std::optional<IpAddr> match;  ///< only what decides for this client
  std::size_t limit = 1000;
  static constexpr std::size_t kLimitMax = 100'000;
  /// Refusal::BadRequest with the key named.
  [[nodiscard]] static Result<AclQuery> parse(const std::map<std::string, std::string>& query);
};

struct AclRow {
  ServiceAddr service;
  AclEntry entry;
  AclCount count;
};

struct AclSelection {
  std::vector<AclRow> rows;  ///< the first `limit` ones, by service and prefix
  std::uint64_t total = 0;   ///< all that the filter takes
};
/// Refusal::NoSuchService; BadRequest: a client that cannot be one of the service.
[[nodiscard]] Result<AclSelection> select_acl(const AclQuery& query, const Registry& registry,
                                              const Dataplane& dataplane);

}  // namespace lb
