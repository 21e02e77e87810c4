// SPDX-License-Identifier: Apache-2.0
// A Report as one JSON object, and back: for scripts (-o json, jsonl), for records and for marks.
// Pure functions. The field names are an interface: they do not change, new ones may come.
//
//   tracer, at_s, wall_ms, dimensions[]
//   measures[]   name, unit, kind, help
//   rows[]       labels{dimension: text}, values{measure: number}, stack: index | null
//   figures[]    name, unit, value: number, reliable, help
//   sections[]   title, columns[], lines[][]
//   stacks[]     frames[]: indices, leaf first; cut
//   frames[]     kind, address: "0x..", pid, object: index | null, offset: "0x..",
//                places[]{function, file, line, inlined}
//   objects[]    path, build_id
//   honesty      events, lost, missed, map_full, stacks_lost, stacks_cut, frees_hidden,
//                frees_unknown, unobserved_s, cost_ns, cpu_percent, memory_bytes, notes[]
//
// An estimate is {value, low, high} in place of a number. Whole numbers are integers; what is not a
// number is "inf", "-inf" or "nan". Text that is not UTF-8 has U+FFFD in place of the bad bytes.
#pragma once

#include <string>
#include <string_view>

#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

/// One line without its end; with `pretty` several lines. REQUIRES: names of dimensions and
/// measures are distinct.
[[nodiscard]] std::string to_json(const Report& report, bool pretty = false);

/// The reverse, exact but for text that was not UTF-8. The text may come from anybody: all indices,
/// ranges and sizes are checked; fields that are not known are skipped. Errors: EINVAL with the
/// field and what is wrong with it, e.g. "rows[3].stack: 7 is out of range, there are 2".
[[nodiscard]] Result<Report> from_json(std::string_view text);

}  // namespace lb::observe
