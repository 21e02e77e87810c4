// SPDX-License-Identifier: Apache-2.0
// Folded stacks, the text that flame graph tools read: "root;caller;leaf 123" a line. And the names
// that frames have there, which the flame graph shares. Pure; render() (format.h) calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "observe/report.h"

namespace lb::observe {

enum class FoldedKind : std::uint8_t { Label, User, Inlined, Kernel, Cut };

struct FoldedFrame {
  std::string name;  ///< without ";" and control characters, never empty
  FoldedKind kind = FoldedKind::User;
  std::string detail;  ///< "[libc.so.6] (malloc.c:33)"; empty: nothing is known
};

/// The frames of a row, root first: the labels as far as they are needed (the process, or for a row
/// without a stack all of them), "[cut]" where callers are not known, then the functions.
/// REQUIRES: valid indices.
[[nodiscard]] std::vector<FoldedFrame> folded_frames(const Report& report, const Row& row);

/// One line for each distinct stack, in the order of the rows, with the measure of this index,
/// rounded; "_[k]" is put after kernel functions, "_[i]" after inlined ones. What rounds to zero or
/// less has no line: the tools that read this cannot draw it. REQUIRES: a valid index, or a
/// Report without rows.
[[nodiscard]] std::string to_folded(const Report& report, std::size_t measure);

}  // namespace lb::observe
