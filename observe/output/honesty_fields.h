// SPDX-License-Identifier: Apache-2.0
// The numbers of Honesty by name, typed once: for the line, for JSON, for --fail-if and for
// differences. Data only.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "observe/honesty.h"
#include "observe/report.h"

namespace lb::observe {

struct HonestyCounter {
  std::string_view name;   ///< in JSON and in --fail-if
  std::string_view words;  ///< in the line
  std::uint64_t Honesty::* member;
};

inline constexpr std::array<HonestyCounter, 8> kHonestyCounters{{
    {"events", "events", &Honesty::events},
    {"lost", "lost", &Honesty::lost},
    {"missed", "missed", &Honesty::missed},
    {"map_full", "maps full", &Honesty::map_full},
    {"stacks_lost", "stacks lost", &Honesty::stacks_lost},
    {"stacks_cut", "stacks cut", &Honesty::stacks_cut},
    {"frees_hidden", "frees not visible", &Honesty::frees_hidden},
    {"frees_unknown", "frees of earlier blocks", &Honesty::frees_unknown},
}};

struct HonestyGauge {
  std::string_view name;
  Unit unit;     ///< that `member` times `scale` is in
  double scale;  ///< to the base unit
  double Honesty::* member;
};

inline constexpr std::array<HonestyGauge, 4> kHonestyGauges{{
    {"unobserved_s", Unit::Nanoseconds, 1e9, &Honesty::unobserved_s},
    {"cost_ns", Unit::Nanoseconds, 1, &Honesty::cost_ns},
    {"cpu_percent", Unit::Percent, 1, &Honesty::cpu_percent},
    {"memory_bytes", Unit::Bytes, 1, &Honesty::memory_bytes},
}};

}  // namespace lb::observe
