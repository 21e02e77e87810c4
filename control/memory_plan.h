// SPDX-License-Identifier: Apache-2.0
// MemoryPlan: how much memory a config takes, before it is taken: lbd --check, the start, GET
// /v1/memory. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/config.h"

namespace lb {

struct MemoryItem {
  std::string name;  ///< "flow tables IPv4", ...
  std::uint64_t bytes = 0;
};

struct MemoryPlan {
  std::uint32_t workers = 1;
  std::vector<MemoryItem> items;
  std::size_t services = 0, tables = 0;  ///< those that differ, of the item "lookup arrays"
  /// What the item "lookup arrays" can grow to at run time: mh_slots_max. Not in total_bytes().
  std::uint64_t lookup_max_bytes = 0;
  [[nodiscard]] std::uint64_t total_bytes() const;
};

/// `workers`: RX queues of the ports. Lookup arrays are those of `config.services` as they stand,
/// one for all services with the same real servers, twice (the generation that leaves and the one
/// that comes). Services whose real servers differ for a while, as their health does, part.
[[nodiscard]] MemoryPlan plan_memory(const Config& config, std::uint32_t workers);

/// MemAvailable of /proc/meminfo; nullopt when it cannot be read.
[[nodiscard]] std::optional<std::uint64_t> memory_available_bytes();
/// A sentence when the plan takes more than `available`, or more than nine tenths of it; else
/// empty.
[[nodiscard]] std::string memory_warning(const MemoryPlan& plan,
                                         std::optional<std::uint64_t> available);
/// "123 MiB": one line per item and the total, for --check and the log.
[[nodiscard]] std::string memory_text(const MemoryPlan& plan);

}  // namespace lb
