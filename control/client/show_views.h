// SPDX-License-Identifier: Apache-2.0
// The tables of `lbctl show`: pure functions from an answer of the API (docs/api.md) to text.
#pragma once

#include <string>
#include <string_view>

#include "control/client/json_doc.h"

namespace lb::client {

/// An idle worker takes a step every 100 ms.
inline constexpr int kWorkerHangsMs = 1000;

/// How numbers and words are shown.
struct Style {
  bool human = false;
  bool colour = false;
};

/// Each takes the answer of the call named in docs/api.md and never fails: what is missing shows as
/// "-".
[[nodiscard]] std::string vips_view(JsonView answer, const Style& style);
[[nodiscard]] std::string rs_view(JsonView answer, const Style& style);
/// As rs_view, for the answer of GET /v1/services/{service}.
[[nodiscard]] std::string rs_of_service_view(JsonView service, const Style& style);
[[nodiscard]] std::string flows_view(JsonView answer, const Style& style);
[[nodiscard]] std::string ports_view(JsonView answer, const Style& style);
[[nodiscard]] std::string workers_view(JsonView answer, const Style& style);
[[nodiscard]] std::string neighbours_view(JsonView answer, const Style& style);
[[nodiscard]] std::string drops_view(JsonView answer, const Style& style);
/// As drops_view, with the reasons that never occurred.
[[nodiscard]] std::string drops_all_view(JsonView answer, const Style& style);
/// What GET /v1/services/{service}/slots answers.
[[nodiscard]] std::string slots_view(JsonView answer, const Style& style);
/// What GET /v1/acl answers.
[[nodiscard]] std::string acl_view(JsonView answer, const Style& style);
/// As acl_view, for the answer about one client.
[[nodiscard]] std::string acl_match_view(JsonView answer, std::string_view client,
                                         const Style& style);
[[nodiscard]] std::string handovers_view(JsonView answer, const Style& style);
/// As handovers_view, with the reasons that never occurred.
[[nodiscard]] std::string handovers_all_view(JsonView answer, const Style& style);
[[nodiscard]] std::string bpf_view(JsonView answer, const Style& style);
[[nodiscard]] std::string memory_view(JsonView answer, const Style& style);
[[nodiscard]] std::string version_view(JsonView answer, const Style& style);

/// Whether this RealServer object takes new flows: it has no `reason` not to.
[[nodiscard]] bool takes_new_flows(JsonView rs);
/// Whether living flows of this Service or ServiceStats object are counted: a service that
/// remembers none shows "-", because 0 would read as "no client is connected".
[[nodiscard]] bool counts_flows(JsonView service);
/// The line below a table with such a service in it; empty without one.
[[nodiscard]] std::string_view uncounted_note(bool any);

}  // namespace lb::client
