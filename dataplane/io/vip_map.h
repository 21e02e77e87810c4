// SPDX-License-Identifier: Apache-2.0
// What a new generation changes in the XDP program's VIP map. Pure; control's thread.
#pragma once

#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/table/service_table.h"

namespace lb {

using VipEntries = std::vector<ServiceTable::VipMapEntry>;

struct VipMapChange {
  VipEntries put;                  ///< new keys, and keys with another value
  std::vector<lb_vip_key> remove;  ///< keys that are no longer there
};

/// In order of the keys. Neither list may name a key twice.
[[nodiscard]] VipMapChange vip_map_change(const VipEntries& from, const VipEntries& to);

}  // namespace lb
