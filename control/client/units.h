// SPDX-License-Identifier: Apache-2.0
// Numbers and names as people write them: durations, sizes, counts, rates, percent-encoding. Pure
// functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb::client {

/// "500ms", "30s", "5m", "1h30m", "2d", or "0": milliseconds. A number without a unit is refused
/// (except 0), so that nobody drains for 300 ms who meant seconds. Limit: 365 days.
[[nodiscard]] Result<std::uint64_t> parse_duration_ms(std::string_view text);

/// Two largest units: "850ms", "12s", "4m 12s", "3h 5m", "2d 1h".
[[nodiscard]] std::string format_duration_ms(std::uint64_t ms);

/// A count. Exact digits, or with `human` three figures and a decimal unit: "1.23k", "45.6M".
[[nodiscard]] std::string format_count(std::uint64_t count, bool human);

/// "1 service", "3 services"; the noun takes an s.
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view noun);

/// A size in bytes. Exact digits, or with `human` a binary unit: "64.0 MiB".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes, bool human);

/// A rate per second, rounded to whole units; with `human` as format_count.
[[nodiscard]] std::string format_rate(double per_second, bool human);

/// RFC 3986 section 2.1: everything but unreserved characters as %XX; safe as one segment of a
/// path.
[[nodiscard]] std::string percent_encode(std::string_view text);

/// `text` with control characters replaced by '?', so that a name cannot steer the terminal.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace lb::client
