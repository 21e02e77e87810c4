// SPDX-License-Identifier: Apache-2.0
// Reads and checks the [[service]] tables of lbd.toml for Config::parse. Internal to it.
#pragma once

#include <vector>

#include "control/config.h"
#include "control/desired.h"
#include "control/tree_reader.h"

namespace lb {

/// Notes everything that is wrong with the services, each alone and all together, in `problems`.
[[nodiscard]] std::vector<ConfigService> read_services(const std::vector<const Tree*>& tables,
                                                       const RegistryLimits& limits,
                                                       Problems& problems);

}  // namespace lb
