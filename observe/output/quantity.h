// SPDX-License-Identifier: Apache-2.0
// Values as people read them: three figures and a unit, an estimate with its interval. For tables,
// pictures, messages. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "observe/report.h"

namespace lb::observe {

/// A number with its unit: "12345", "1.23M" (counts from a million on), "1.20 MiB", "84 ns",
/// "1.50 ms", "12.3/s", "1.20 KiB/s", "0.3 %". Without `human` exact digits in the base unit
/// (count, bytes, nanoseconds, ... a second, percent) and no unit. Negative numbers too.
[[nodiscard]] std::string format_number(double number, Unit unit, bool human = true);

/// format_number(), and when it is an estimate "~1.20 MiB (1.00..1.40)": the 95 % interval in the
/// unit of the estimate.
[[nodiscard]] std::string format_value(const Value& value, Unit unit, bool human = true);

/// "count", "bytes", "nanoseconds", "count_per_second", "bytes_per_second", "percent".
[[nodiscard]] std::string_view name_of(Unit unit);
/// "level", "total", "peak".
[[nodiscard]] std::string_view name_of(Kind kind);

/// "2025-11-28T15:04:05Z".
[[nodiscard]] std::string format_utc(std::int64_t wall_ms);

}  // namespace lb::observe
