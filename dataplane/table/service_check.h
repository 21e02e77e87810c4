// SPDX-License-Identifier: Apache-2.0
// check_spec(): everything that must hold of a ServiceTableSpec before a table is built of it.
// Pure; control's thread, once per change.
#pragma once

#include "dataplane/base/result.h"
#include "dataplane/table/service_table.h"

namespace lb {

inline constexpr std::uint32_t kWeightMax = 65535;

/// Errors, with the service, VIP or real server named: EINVAL for a value or index that cannot be,
/// EEXIST for two of one name or overlapping port ranges, E2BIG for too many ranges or elements.
[[nodiscard]] Status check_spec(const ServiceTableSpec& spec);

}  // namespace lb
