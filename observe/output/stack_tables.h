// SPDX-License-Identifier: Apache-2.0
// The stacks of Reports compared by content and carried from one Report to another: indices mean
// something only inside one Report. Pure; used by aggregate and difference.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "observe/report.h"

namespace lb::observe {

/// What stack `stack` of the Report is, in words that compare across processes and Reports: kind,
/// object (path, build id) and offset of each frame, which tell the functions too, whether or not
/// they were found; where the object is not known, address, process and functions. kNone gives "".
/// REQUIRES: valid indices.
[[nodiscard]] std::string stack_key(const Report& report, std::uint32_t stack);

/// For each stack of the Report the first one with the same key.
[[nodiscard]] std::vector<std::uint32_t> same_stacks(const Report& report);

/// Copies stacks, with the frames and objects they need, to the end of another Report's tables;
/// each thing once. REQUIRES: both outlive this, and `from` does not change.
class StackCopier {
 public:
  StackCopier(const Report& from, Report& to) : from_(from), to_(to) {}
  /// The index in `to`; kNone for kNone.
  std::uint32_t copy(std::uint32_t stack);

 private:
  std::uint32_t copy_frame(std::uint32_t frame);
  std::uint32_t copy_object(std::uint32_t object);

  const Report& from_;
  Report& to_;
  std::unordered_map<std::uint32_t, std::uint32_t> stacks_, frames_, objects_;
};

}  // namespace lb::observe
