// SPDX-License-Identifier: Apache-2.0
// FailIf: the condition of --fail-if over the figures of a Report, for CI. Pure.
//
//   condition  := all ("or" all)*              all := comparison ("and" comparison)*
//   comparison := name (">" | ">=" | "<" | "<=" | "==" | "!=") number [unit]
//
// Names: the figures of the tracer and the numbers of the honesty line (events, lost, missed,
// map_full, ..., memory_bytes). Units: B kB MB GB TB (powers of 1000), KiB MiB GiB TiB (of 1024),
// each also with "/s"; ns us ms s; /s; %. Without a unit: the unit of the figure (of unobserved_s
// seconds).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

class FailIf {
 public:
  struct Verdict {
    bool met = false;     ///< the command is to fail
    std::string because;  ///< "leak 1.20 MiB > 1MB and lost 3 > 0"; empty when not met
  };

  /// Errors: EINVAL, with the column (from 1) and the nearest known word. Limit: 4096 characters.
  [[nodiscard]] static Result<FailIf> parse(std::string_view text);

  /// A comparison with an estimate is met only when the whole 95 % interval meets it: "leak > 1MB"
  /// looks at the lower bound, "leak < 1MB" at the upper. All names are looked at, whatever "or"
  /// would need. Errors: EINVAL for a name that the Report has not (with those it has) and a unit
  /// of another kind; ENODATA for a figure that is not reliable (with its reason).
  [[nodiscard]] Result<Verdict> evaluate(const Report& report) const;

 private:
  enum class Compare : std::uint8_t { Greater, GreaterEqual, Less, LessEqual, Equal, NotEqual };
  struct Comparison {
    std::string name;
    Compare compare = Compare::Greater;
    double number = 0;  // in the base unit when `unit` is there
    std::optional<Unit> unit;
    std::string words;  // "> 1MB"
    std::size_t column = 0;
  };
  class Parser;

  [[nodiscard]] static Result<Verdict> look(const Comparison& comparison, const Report& report);

  std::vector<std::vector<Comparison>> any_of_;  // of each list all
};

}  // namespace lb::observe
