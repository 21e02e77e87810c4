// SPDX-License-Identifier: Apache-2.0
// The bodies of API requests as values. Unknown keys, wrong types and values out of range are
// refused with the key named (Refusal::BadRequest). Pure functions; the input is hostile.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "control/settings.h"
#include "dataplane/base/prefix.h"
#include "dataplane/base/result.h"

namespace lb {

struct AddServiceRequest {
  ServiceAddr address;
  ServicePatch settings;
};
struct AddRsRequest {
  IpAddr address;
  RsPatch settings;
};

/// Entries that differ in nothing but their prefix.
struct AddAclRequest {
  std::vector<IpPrefix> prefixes;
  std::uint32_t rate = LB_ACL_DENY, burst = 0;  ///< as AclEntry's
};

/// POST /v1/services
[[nodiscard]] Result<AddServiceRequest> parse_add_service(std::string_view body);
/// PATCH /v1/services/{service}
[[nodiscard]] Result<ServicePatch> parse_set_service(std::string_view body);
/// POST .../real-servers
[[nodiscard]] Result<AddRsRequest> parse_add_rs(std::string_view body);
/// PATCH .../real-servers/{rs}
[[nodiscard]] Result<RsPatch> parse_set_rs(std::string_view body);
/// POST .../drain: timeout_ms, 0 (none) when it is absent. An empty body is {}.
[[nodiscard]] Result<std::uint64_t> parse_drain(std::string_view body);
/// POST .../acl: `prefixes`, and what becomes of them as read_acl_action() takes it.
[[nodiscard]] Result<AddAclRequest> parse_add_acl(std::string_view body);
/// POST .../acl/remove: `prefixes`.
[[nodiscard]] Result<std::vector<IpPrefix>> parse_del_acl(std::string_view body);
/// POST /v1/panic: "on", required.
[[nodiscard]] Result<bool> parse_panic(std::string_view body);

}  // namespace lb
