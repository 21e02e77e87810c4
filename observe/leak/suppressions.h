// SPDX-License-Identifier: Apache-2.0
// Suppressions: leaks that are known and meant, in LeakSanitizer's format: lines `leak:PATTERN`,
// `#` begins a comment. A row goes when a function, source file or object of its stack matches.
// Source: the documentation of the sanitizers (patterns: `*` any text, `^` and `$` the ends). Pure
// but for load().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

class Suppressions {
 public:
  /// Errors: EINVAL with the number of the line that is none of the format.
  [[nodiscard]] static Result<Suppressions> parse(std::string_view text);
  /// Errors: errno with the name; those of parse() with the name.
  [[nodiscard]] static Result<Suppressions> load(const std::string& path);

  [[nodiscard]] bool empty() const { return patterns_.empty(); }
  /// Takes the rows that match out of the Report, their bytes and blocks off the figures of these
  /// names, and adds a section of what was used. REQUIRES: the frames are resolved.
  void apply(Report& report, std::string_view bytes_figure, std::string_view blocks_figure) const;

 private:
  /// The index of the first pattern that a stack matches; kNone: none.
  [[nodiscard]] std::uint32_t match(const Report& report, std::uint32_t stack) const;
  std::vector<std::string> patterns_;
};

/// Whether `text` matches; the pattern is a part of it unless `^` or `$` hold it.
[[nodiscard]] bool matches_suppression(std::string_view pattern, std::string_view text);

}  // namespace lb::observe
