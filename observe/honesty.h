// SPDX-License-Identifier: Apache-2.0
// Honesty: what a tracer did not see and what it cost; the last line of every output. Data, and the
// line. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lb::observe {

struct Honesty {
  std::uint64_t events = 0;         ///< that the tracer was asked to account
  std::uint64_t lost = 0;           ///< events that found no room in the ring buffer
  std::uint64_t missed = 0;         ///< runs that the kernel left out (recursion)
  std::uint64_t map_full = 0;       ///< records that found no room
  std::uint64_t stacks_lost = 0;    ///< events whose stack found no room, or no scratch
  std::uint64_t stacks_cut = 0;     ///< events whose stack has callers that are not known
  std::uint64_t frees_hidden = 0;   ///< frees known to have happened that no event showed
  std::uint64_t frees_unknown = 0;  ///< frees of what was allocated before the tracer was there
  double unobserved_s = 0;          ///< time without the tracer (budget, attach)
  double cost_ns = 0;               ///< of our programs, for each run; 0: not measured
  double cpu_percent = 0;           ///< of one CPU that our programs took
  double memory_bytes = 0;          ///< maps and programs, as the kernel accounts them
  std::vector<std::string> notes;   ///< sentences: fallbacks taken, figures with a bound

  bool operator==(const Honesty&) const = default;
};

/// One line: all of the above that is a number, zeros too, e.g. "events 1204, lost 0, missed 0,
/// ...". The notes are not in it.
[[nodiscard]] std::string honesty_line(const Honesty& honesty);

}  // namespace lb::observe
