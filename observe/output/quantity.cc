// SPDX-License-Identifier: Apache-2.0
#include "observe/output/quantity.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <utility>

namespace lb::observe {
namespace {

struct Scale {
  double divisor = 1;
  std::string_view suffix;  // with its gap
  bool whole = true;        // the base unit of things that are counted: no decimals
};

constexpr std::array<std::string_view, 7> kBinary{" B",   " KiB", " MiB", " GiB",
                                                  " TiB", " PiB", " EiB"};
constexpr std::array<std::string_view, 7> kDecimal{"", "k", "M", "G", "T", "P", "E"};
constexpr std::array<std::string_view, 4> kTime{" ns", " us", " ms", " s"};

template <std::size_t N>
Scale pick(double size, double base, const std::array<std::string_view, N>& units) {
  Scale scale{1, units[0], true};
  for (std::size_t i = 1; i < N; ++i) {
    // 999.5 would be printed as 1000 in three figures.
    if (size / scale.divisor < (base == 1024 ? 1023.5 : 999.5)) break;
    scale = {scale.divisor * base, units[i], false};
  }
  return scale;
}

Scale scale_of(double size, Unit unit) {
  switch (unit) {
    case Unit::Bytes:
    case Unit::BytesPerSecond:
      return pick(size, 1024, kBinary);
    case Unit::Nanoseconds:
      return pick(size, 1000, kTime);
    // A count of blocks is compared with another one: all its digits, as long as they can be read.
    case Unit::Count:
      return size < 1e6 ? Scale{} : pick(size, 1000, kDecimal);
    case Unit::CountPerSecond:
      return pick(size, 1000, kDecimal);
    case Unit::Percent:
      break;
  }
  return {1, " %", false};
}

std::string digits(double number, const Scale& scale) {
  const double scaled = number / scale.divisor;
  const double size = std::abs(scaled);
  if (scale.whole && (scaled == std::floor(scaled) || size >= 99.95)) {
    return fmt::format("{:.0f}", scaled);
  }
  if (scale.suffix == " %") return fmt::format("{:.1f}", scaled);
  return fmt::format("{:.{}f}", scaled, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

std::string_view per_second(Unit unit) {
  return unit == Unit::CountPerSecond || unit == Unit::BytesPerSecond ? "/s" : "";
}

}  // namespace

std::string format_number(double number, Unit unit, bool human) {
  if (!human || !std::isfinite(number)) return fmt::format("{}", number);
  const Scale scale = scale_of(std::abs(number), unit);
  return fmt::format("{}{}{}", digits(number, scale), scale.suffix, per_second(unit));
}

std::string format_value(const Value& value, Unit unit, bool human) {
  if (!value.estimated()) return format_number(value.value, unit, human);
  if (!human) return fmt::format("~{} ({}..{})", value.value, value.low, value.high);
  // An estimate of nothing still has an upper bound: that one gives the unit then.
  const double size = value.value != 0 ? value.value : value.high;
  const Scale scale = scale_of(std::abs(size), unit);
  return fmt::format("~{}{}{} ({}..{})", digits(value.value, scale), scale.suffix, per_second(unit),
                     digits(value.low, scale), digits(value.high, scale));
}

std::string_view name_of(Unit unit) {
  switch (unit) {
    case Unit::Count:
      return "count";
    case Unit::Bytes:
      return "bytes";
    case Unit::Nanoseconds:
      return "nanoseconds";
    case Unit::CountPerSecond:
      return "count_per_second";
    case Unit::BytesPerSecond:
      return "bytes_per_second";
    case Unit::Percent:
      return "percent";
  }
  std::unreachable();
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::Level:
      return "level";
    case Kind::Total:
      return "total";
    case Kind::Peak:
      return "peak";
  }
  std::unreachable();
}

std::string format_utc(std::int64_t wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return fmt::format("{} ms", wall_ms);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace lb::observe
