// SPDX-License-Identifier: Apache-2.0
// ExplainQuery: GET /v1/explain: the packet that its query describes. Director's thread; the input
// is hostile.
#pragma once

#include <map>
#include <span>
#include <string>

#include "dataplane/dataplane.h"

namespace lb {

/// `client` (ADDRESS:PORT) and `vip` (ADDRESS:PORT/PROTO) are required; `flags` ("syn", "syn,ack",
/// "none"), `ttl`, `length`, `vlan`, `port` (an interface) and `queue` are not. Refusal::BadRequest
/// with the key named.
[[nodiscard]] Result<ExplainRequest> parse_explain(const std::map<std::string, std::string>& query,
                                                   std::span<const PortInfo> ports);

/// "syn,ack"; "none" without one.
[[nodiscard]] std::string tcp_flags_text(std::uint8_t flags);

}  // namespace lb
