// SPDX-License-Identifier: Apache-2.0
// A Report as a pprof profile (profile.proto of github.com/google/pprof), for `go tool pprof` and
// all that reads its format. Pure; render() (format.h) calls it.
#pragma once

#include <cstddef>
#include <string>

#include "observe/report.h"

namespace lb::observe {

/// The profile, gzip-compressed: each measure is a sample type (that of index `measure` the
/// default one), each row a sample, labels are string labels, inlined functions stand in one
/// location, objects are mappings with their build ids. An address is the one in the object's own
/// terms, so that each object has one mapping, whatever address processes have it at. Values are
/// rounded to whole units. Stacks that were cut have a root "[cut]". The notes and the honesty line
/// are comments. REQUIRES: valid indices.
[[nodiscard]] std::string to_pprof(const Report& report, std::size_t measure);

}  // namespace lb::observe
