// SPDX-License-Identifier: Apache-2.0
// Numbers as people write them: durations, sizes, counts, rates. One form for lbd.toml, lbd's
// messages and lbctl. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb {

/// "500ms", "30s", "5m", "1h30m", "2d", or "0": milliseconds. A number without a unit is refused
/// (except 0), so that nobody drains for 300 ms who meant seconds. Limit: 365 days. Errors: EINVAL.
[[nodiscard]] Result<std::uint64_t> parse_duration(std::string_view text);

/// The reverse, exact, in one unit of ms, s, m or h: "1500ms", "2s", "90m", "24h"; 0 is "0s".
[[nodiscard]] std::string format_duration(std::uint64_t ms);

/// For tables, rounded down to two units: "850ms", "12s", "4m 12s", "3h 5m", "2d 1h".
[[nodiscard]] std::string rough_duration(std::uint64_t ms);

/// A count. Exact digits, or with `human` three figures and a decimal unit: "1.23k", "45.6M".
[[nodiscard]] std::string format_count(std::uint64_t count, bool human);

/// "1 service", "3 services"; the noun takes an s.
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view noun);

/// A size in bytes in three figures and a binary unit: "512 B", "1.00 KiB", "64.0 MiB".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);
/// That, or without `human` exact digits.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes, bool human);

/// A rate per second, rounded to whole units; with `human` as format_count.
[[nodiscard]] std::string format_rate(double per_second, bool human);

}  // namespace lb
