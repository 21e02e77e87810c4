// SPDX-License-Identifier: Apache-2.0
// What must fit together in the settings of one service or one real server, whoever said it: file,
// API or state. Pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/settings.h"

namespace lb {

/// A key ("health.port") and what is wrong with its value, with the way to mend it.
struct Misfit {
  std::string key;
  std::string what;
};

[[nodiscard]] std::vector<Misfit> check_service_settings(const ServiceAddr& address,
                                                         const ServiceSettings& settings);
/// `ports`: the interfaces that lbd is attached to.
[[nodiscard]] std::vector<Misfit> check_rs_settings(const ServiceAddr& service,
                                                    const IpAddr& address,
                                                    const RsSettings& settings,
                                                    std::span<const std::string> ports);
/// The reason why an address can be no VIP and no RS, or empty.
[[nodiscard]] std::string unusable_reason(const IpAddr& address);

/// Whether two services of one VIP and protocol cannot stand together: the same ports, or ranges
/// that overlap (an exact port inside a range, and a range beside any-port, can).
[[nodiscard]] bool ports_clash(const ServiceAddr& a, const ServiceAddr& b);

}  // namespace lb
