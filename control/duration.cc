// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "control/config.h"
#include "control/refusal.h"
#include "control/tree.h"

namespace lb {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t ms;
};
constexpr std::array<Unit, 4> kUnits{{{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

}  // namespace

std::string format_duration(std::uint64_t ms) {
  if (ms == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (ms % unit.ms == 0) return fmt::format("{}{}", ms / unit.ms, unit.name);
  }
  return fmt::format("{}ms", ms);
}

Result<std::uint64_t> parse_duration(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  auto name = text.substr(static_cast<std::size_t>(end - text.data()));
  if (error == std::errc{}) {
    for (const Unit& unit : kUnits) {
      if (name != unit.name) continue;
      if (number > std::numeric_limits<std::uint32_t>::max()) break;
      return number * unit.ms;
    }
  }
  return refuse(Refusal::BadRequest,
                fmt::format("{} is not a duration (write a whole number and a unit: \"200ms\", "
                            "\"5s\", \"15m\" or \"1h\")",
                            quoted(text)));
}

}  // namespace lb
