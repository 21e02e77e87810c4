// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "dataplane/base/text.h"

namespace lb {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t ms;
};
// Longest unit first; "ms" stands before "m" so that the longer name is tried first.
constexpr std::array<Unit, 5> kUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"ms", 1}, {"m", 60'000}, {"s", 1000}}};
constexpr std::uint64_t kLongestMs = 365 * std::uint64_t{86'400'000};

std::unexpected<Error> bad_duration(std::string_view text, std::string_view why) {
  return fail(EINVAL, fmt::format("{} is not a duration: {} (write 500ms, 30s, 5m, 1h30m or 0)",
                                  quoted(text), why));
}

std::string scaled(double value, double base, std::string_view gap,
                   const std::array<std::string_view, 7>& units) {
  std::size_t unit = 0;
  // 999.5 would be printed as 1000 in three figures.
  while (value >= (base == 1024 ? 1023.5 : 999.5) && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}{}{}", value, units[0].empty() ? "" : gap, units[0]);
  int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}", value, digits, gap, units[unit]);
}

constexpr std::array<std::string_view, 7> kDecimal{"", "k", "M", "G", "T", "P", "E"};
constexpr std::array<std::string_view, 7> kBinary{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

}  // namespace

Result<std::uint64_t> parse_duration(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return bad_duration(text, "it is empty");
  std::uint64_t total = 0;
  auto rest = text;
  while (!rest.empty()) {
    std::uint64_t number = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error == std::errc::result_out_of_range) return bad_duration(text, "it is over 365 days");
    if (error != std::errc{}) return bad_duration(text, "a number is missing");
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      if (found == nullptr && rest.starts_with(unit.name)) found = &unit;
    }
    if (found == nullptr) return bad_duration(text, "the unit is missing or unknown");
    rest.remove_prefix(found->name.size());
    if (number > kLongestMs / found->ms) return bad_duration(text, "it is over 365 days");
    total += number * found->ms;
    if (total > kLongestMs) return bad_duration(text, "it is over 365 days");
  }
  return total;
}

std::string format_duration(std::uint64_t ms) {
  if (ms == 0) return "0s";
  if (ms % 3'600'000 == 0) return fmt::format("{}h", ms / 3'600'000);
  if (ms % 60'000 == 0) return fmt::format("{}m", ms / 60'000);
  if (ms % 1'000 == 0) return fmt::format("{}s", ms / 1'000);
  return fmt::format("{}ms", ms);
}

std::string rough_duration(std::uint64_t ms) {
  if (ms < 1000) return fmt::format("{}ms", ms);
  std::uint64_t s = ms / 1000;
  auto pair = [](std::uint64_t a, char a_unit, std::uint64_t b, char b_unit) {
    return b == 0 ? fmt::format("{}{}", a, a_unit) : fmt::format("{}{} {}{}", a, a_unit, b, b_unit);
  };
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return pair(s / 60, 'm', s % 60, 's');
  if (s < 86400) return pair(s / 3600, 'h', s % 3600 / 60, 'm');
  return pair(s / 86400, 'd', s % 86400 / 3600, 'h');
}

std::string format_count(std::uint64_t count, bool human) {
  return human ? scaled(static_cast<double>(count), 1000, "", kDecimal) : fmt::format("{}", count);
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string format_bytes(std::uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024, " ", kBinary);
}

std::string format_bytes(std::uint64_t bytes, bool human) {
  return human ? format_bytes(bytes) : fmt::format("{}", bytes);
}

std::string format_rate(double per_second, bool human) {
  if (!std::isfinite(per_second) || per_second < 0) per_second = 0;
  return human ? scaled(per_second, 1000, "", kDecimal) : fmt::format("{:.0f}", per_second);
}

}  // namespace lb
