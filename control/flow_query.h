// SPDX-License-Identifier: Apache-2.0
// FlowQuery: GET /v1/flows: the filter of its query, and the rows it selects. Director's thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/json_view.h"

namespace lb {

struct FlowQuery {
  std::optional<ServiceAddr> service;
  std::optional<IpAddr> rs, client;
  std::size_t limit = 1000;
  static constexpr std::size_t kLimitMax = 100'000;
  /// Refusal::BadRequest with the key named.
  [[nodiscard]] static Result<FlowQuery> parse(const std::map<std::string, std::string>& query);
};

struct FlowSelection {
  std::vector<FlowRow> rows;  ///< the first `limit` ones
  std::uint64_t total = 0;    ///< all that the filter takes
};
[[nodiscard]] FlowSelection select_flows(const FlowQuery& query, const Registry& registry,
                                         const Dataplane& dataplane, TickMs now);

}  // namespace lb
