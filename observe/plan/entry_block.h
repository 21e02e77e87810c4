// SPDX-License-Identifier: Apache-2.0
// Where in a function a uprobe is cheapest and still sees what it would see at the first
// instruction. A probe on an instruction that the kernel emulates costs one trap; on any other it
// costs two and a single step, many times that. Pure; any thread; called once a function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "observe/plan/x86_instruction.h"

namespace lb::observe {

/// What the probe at the site will be used for.
struct SiteNeed {
  unsigned arguments = 0;     ///< leading integer arguments (0 to 6) that it reads
  bool return_probe = false;  ///< it takes the return address: rsp must be as at the entry
};

/// A place to put a uprobe.
struct ProbeSite {
  std::size_t offset = 0;              ///< from the function's first instruction
  UprobeWay way = UprobeWay::Stepped;  ///< Refused: there is no legal site, attach nothing
  /// rsp is as at the first instruction: [rsp] is the return address, a return probe is legal.
  bool return_probe_legal = true;
  std::string_view reason;  ///< half a sentence, for plans and messages
};

/// Code at an offset from the function's start that lies outside it: at least 15 bytes, or fewer
/// at the end of the file's code; empty when there is none. Valid until the next call.
using OutsideCode = std::function<std::span<const std::uint8_t>(std::int64_t offset)>;

/// The cheapest safe site. `function` is the whole code of the function; `outside` is asked for the
/// places that it jumps to (parts that the compiler moved away may jump back); empty: not asked.
/// In doubt, offset 0. Rules: an emulated instruction of the entry block; no jump of the function
/// into the block before it or to it; no argument register written before it; rsp unchanged when a
/// return probe is wanted; never a nop of several bytes, since the kernel may replace one of five
/// bytes by a call, which writes below rsp where a leaf function keeps its locals (at the first
/// instruction there are none yet).
[[nodiscard]] ProbeSite choose_site(std::span<const std::uint8_t> function, SiteNeed need,
                                    const OutsideCode& outside = {});

}  // namespace lb::observe
