// SPDX-License-Identifier: Apache-2.0
// Format: the one door from a Report to bytes that a file or terminal gets (-o). Pure; the loop
// that runs a tracer calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/output/growth.h"
#include "observe/report.h"

namespace lb::observe {

enum class Format : std::uint8_t { Table, Json, Jsonl, Folded, Svg, Pprof };

/// "table", "json", "jsonl", "folded", "svg", "pprof". Errors: EINVAL with the nearest known.
[[nodiscard]] Result<Format> parse_format(std::string_view name);
[[nodiscard]] std::string_view name_of(Format format);

/// Whether the bytes are not text (pprof): not for a terminal.
[[nodiscard]] bool is_binary(Format format);

struct RenderOptions {
  std::vector<std::string> by;     ///< dimensions and "stack"; empty: as the tracer has them
  std::string measure;             ///< --sort; what rows are ordered by and pictures show
  std::optional<std::size_t> top;  ///< rows, 0: all; not given: 20 in a table, else all
  std::string title;               ///< of the picture; empty: the tracer's name
  std::vector<Series> series;      ///< growth, for the picture (GrowthHistory::series)
  bool human = true;               ///< in a table: units in three figures, else exact digits
  bool colour = false;             ///< in a table
};

/// aggregate() and the chosen output; text ends with a line's end. Errors: EINVAL, a dimension or
/// measure that the Report has not, with the nearest known.
[[nodiscard]] Result<std::string> render(Format format, const Report& report,
                                         const RenderOptions& options = {});

}  // namespace lb::observe
