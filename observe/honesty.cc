// SPDX-License-Identifier: Apache-2.0
#include "observe/honesty.h"

#include <fmt/format.h>

#include "observe/output/honesty_fields.h"
#include "observe/output/quantity.h"

namespace lb::observe {

std::string honesty_line(const Honesty& honesty) {
  std::string line;
  for (const HonestyCounter& counter : kHonestyCounters) {
    line += fmt::format("{} {}, ", counter.words, honesty.*counter.member);
  }
  const std::string cost = honesty.cost_ns == 0
                               ? "not measured"
                               : format_number(honesty.cost_ns, Unit::Nanoseconds) + "/run";
  return line + fmt::format("unobserved {}, cost {}, {} CPU, memory {}",
                            format_number(honesty.unobserved_s * 1e9, Unit::Nanoseconds), cost,
                            format_number(honesty.cpu_percent, Unit::Percent),
                            format_number(honesty.memory_bytes, Unit::Bytes));
}

}  // namespace lb::observe
