// SPDX-License-Identifier: Apache-2.0
// Access lists out of the config file and the bodies of requests, into values. What is wrong is
// noted with the key named. Any thread; the input is hostile.
#pragma once

#include <vector>

#include "control/tree_reader.h"
#include "dataplane/table/acl.h"

namespace lb {

/// `action` ("allow" or "deny") or `limit` (with `burst`; without: a second's worth) into `entry`:
/// one of the two.
void read_acl_action(TableReader& reader, AclEntry& entry);
/// The array `prefixes`, one at least.
[[nodiscard]] std::vector<IpPrefix> read_prefixes(TableReader& reader);
/// The array of tables `acl` of a service; no prefix twice, each of the family of `service` when
/// that is known.
[[nodiscard]] Acl read_acl(TableReader& reader, const ServiceAddr* service);

}  // namespace lb
