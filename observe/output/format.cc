// SPDX-License-Identifier: Apache-2.0
#include "observe/output/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "dataplane/base/text.h"
#include "observe/output/aggregate.h"
#include "observe/output/folded.h"
#include "observe/output/json.h"
#include "observe/output/pprof.h"
#include "observe/output/svg.h"
#include "observe/output/table.h"

namespace lb::observe {
namespace {

constexpr std::size_t kTableTop = 20;
/// In the order of Format.
constexpr std::array<std::string_view, 6> kNames{"table",  "json", "jsonl",
                                                 "folded", "svg",  "pprof"};

}  // namespace

Result<Format> parse_format(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name);
  if (found != kNames.end()) return static_cast<Format>(found - kNames.begin());
  const std::string near = nearest(name, kNames);
  return fail(EINVAL, fmt::format("{} is not an output format; {}there are {}", quoted(name),
                                  near.empty() ? "" : fmt::format("did you mean {}? ", near),
                                  fmt::join(kNames, ", ")));
}

std::string_view name_of(Format format) { return kNames.at(std::to_underlying(format)); }

bool is_binary(Format format) { return format == Format::Pprof; }

Result<std::string> render(Format format, const Report& report, const RenderOptions& options) {
  const std::size_t top = options.top.value_or(format == Format::Table ? kTableTop : 0);
  LB_TRY_ASSIGN(const Report rows, aggregate(report, {options.by, options.measure, top}));
  switch (format) {
    case Format::Table:
      return to_table(rows, {options.human, options.colour});
    case Format::Json:
      return to_json(rows, true) + "\n";
    case Format::Jsonl:
      return to_json(rows) + "\n";
    case Format::Folded:
      return to_folded(rows, 0);
    case Format::Svg:
      return to_svg(rows, {options.title, 0, options.series});
    case Format::Pprof:
      return to_pprof(rows, 0);
  }
  std::unreachable();
}

}  // namespace lb::observe
