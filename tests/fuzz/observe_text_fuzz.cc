// SPDX-License-Identifier: Apache-2.0
// What users write for `observe`: the first line is a condition of --fail-if, or a prefix for
// --alloc; the rest a file of suppressions. Patterns are compared with a second matcher.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/assert.h"
#include "observe/leak/suppressions.h"
#include "observe/output/fail_if.h"
#include "observe/plan/allocators.h"
#include "observe/report.h"

namespace {

using namespace lb::observe;

constexpr std::size_t kPatternBytesMax = 64;

Report sample() {
  Report report;
  report.tracer = "leak";
  report.dimensions = {"kind"};
  report.measures = {{"bytes", Unit::Bytes, Kind::Level, ""},
                     {"blocks", Unit::Count, Kind::Level, ""}};
  report.objects = {{"/usr/bin/server", "ab"}};
  report.frames = {{FrameKind::User, 1, 1, 0, 1, {{"malloc", "malloc.c", 1, true}}},
                   {FrameKind::User, 2, 1, kNone, 2, {{"main", "", 0, false}}}};
  report.stacks = {{{0, 1}, false}, {{1}, false}};
  report.rows = {{{"heap"}, 0, {64, 1}}, {{"mapping"}, 1, {4096, 1}}, {{"heap"}, kNone, {8, 1}}};
  report.figures = {{"leak", Unit::Bytes, {72, 60, 80}, "", true},
                    {"blocks", Unit::Count, 2, "", true},
                    {"mapped", Unit::Bytes, 4096, "", true},
                    {"growth_rate", Unit::BytesPerSecond, 1, "", true},
                    {"hidden", Unit::Bytes, 1, "frees are not visible", false}};
  return report;
}

/// By trying every length for each star; `^` and `$` as in matches_suppression().
bool matches_slowly(std::string_view pattern, std::string_view text) {
  std::string whole(pattern);
  const bool from_start = whole.starts_with('^');
  if (from_start) whole.erase(0, 1);
  const bool to_end = whole.ends_with('$');
  if (to_end) whole.pop_back();
  if (!from_start) whole.insert(0, 1, '*');
  if (!to_end) whole += '*';
  // reached[j]: the pattern so far takes the first j characters.
  std::vector<bool> reached(text.size() + 1, false);
  reached[0] = true;
  for (const char c : whole) {
    std::vector<bool> next(text.size() + 1, false);
    for (std::size_t j = 0; j <= text.size(); ++j) {
      if (c == '*') {
        next[j] = reached[j] || (j > 0 && next[j - 1]);
      } else if (j > 0) {
        next[j] = reached[j - 1] && text[j - 1] == c;
      }
    }
    reached = std::move(next);
  }
  return reached[text.size()];
}

void check_condition(std::string_view line, const Report& report) {
  const auto condition = FailIf::parse(line);
  if (!condition) {
    LB_ASSERT(!condition.error().message.empty());
    return;
  }
  const auto verdict = condition->evaluate(report);
  if (!verdict) {
    LB_ASSERT(!verdict.error().message.empty());
    return;
  }
  LB_ASSERT(verdict->met == !verdict->because.empty());
}

void check_alloc(std::string_view word) {
  const auto option = AllocOption::parse(word);
  LB_ASSERT(option ? option->path.empty() != option->prefix.empty()
                   : !option.error().message.empty());
}

void check_suppressions(std::string_view text, Report report) {
  const auto suppressions = Suppressions::parse(text);
  if (!suppressions) {
    LB_ASSERT(suppressions.error().message.contains("line "));
    return;
  }
  const std::size_t rows = report.rows.size();
  suppressions->apply(report, "leak", "blocks");
  LB_ASSERT(report.rows.size() <= rows);
  LB_ASSERT((report.rows.size() == rows) == report.sections.empty());
  for (const Figure& figure : report.figures) LB_ASSERT(figure.value.value >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::string_view rest = text.substr(std::min(text.size(), line.size() + 1));
  const Report report = sample();
  check_condition(line, report);
  check_alloc(line);
  check_suppressions(rest, report);
  if (line.size() <= kPatternBytesMax && rest.size() <= kPatternBytesMax) {
    LB_ASSERT(matches_suppression(line, rest) == matches_slowly(line, rest));
  }
  return 0;
}
