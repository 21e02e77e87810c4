// SPDX-License-Identifier: Apache-2.0
// Reads the settings of services and real servers from a Tree: the same keys in lbd.toml, in API
// bodies and in the state file. Only single values are checked here; what must fit together is
// checked in validate.h. Any thread.
#pragma once

#include <optional>

#include "control/settings.h"
#include "control/tree_reader.h"

namespace lb {

[[nodiscard]] ServicePatch read_service_patch(TableReader& reader);
[[nodiscard]] RsPatch read_rs_patch(TableReader& reader);
/// The key `address` of a service or RS; nothing when it is missing or wrong (noted).
[[nodiscard]] std::optional<ServiceAddr> read_service_address(TableReader& reader);
[[nodiscard]] std::optional<IpAddr> read_rs_address(TableReader& reader);

/// A MAC address that a frame can be sent to: not zero, not multicast. Errors: Refusal::BadRequest.
[[nodiscard]] Result<MacAddr> parse_unicast_mac(std::string_view text);

inline constexpr std::uint32_t kTimeoutMinMs = 100;
inline constexpr std::uint32_t kTimeoutMaxMs = 7 * 24 * 3'600'000;
inline constexpr std::uint32_t kTransitionMinMs = 1'000;
inline constexpr std::uint32_t kTransitionMaxMs = kTimeoutMaxMs;
inline constexpr std::uint32_t kCheckTimeMinMs = 10;
inline constexpr std::uint32_t kCheckTimeMaxMs = 3'600'000;
inline constexpr std::uint32_t kCheckCountMax = 100;

}  // namespace lb
