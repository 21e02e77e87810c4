// SPDX-License-Identifier: Apache-2.0
// Frames as words: one for each function, inlined ones apart, for tables, folded stacks and flame
// graphs. Pure; the words are as the traced process has them (printable() is the caller's).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "observe/report.h"

namespace lb::observe {

struct FrameText {
  std::string function;  ///< or, not resolved, "0x7f12ab (libc.so.6+0x812ab)"
  std::string module;    ///< the object's file name, or "[kernel]"; empty: not known
  std::string source;    ///< "file:line"; empty: not known
  bool inlined = false;
  bool resolved = false;
  FrameKind kind = FrameKind::User;
};

/// The functions at one frame, innermost first; at least one. REQUIRES: a valid index.
[[nodiscard]] std::vector<FrameText> frame_texts(const Report& report, std::uint32_t frame);

/// Those of a whole stack, leaf first; none for kNone. REQUIRES: a valid index.
[[nodiscard]] std::vector<FrameText> stack_texts(const Report& report, std::uint32_t stack);

/// What follows the last "/".
[[nodiscard]] std::string_view file_name(std::string_view path);

}  // namespace lb::observe
