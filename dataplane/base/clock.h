// SPDX-License-Identifier: Apache-2.0
// Time as the data plane knows it: a coarse tick that Worker reads once per step and hands to the
// path.
#pragma once

#include <cstdint>
#include <ctime>

namespace lb {

/// Milliseconds of CLOCK_MONOTONIC, truncated to 32 bits; wraps after 49 days, so compare with
/// ms_since only. The clock that a BPF program can read for a nanosecond (its coarse form).
using TickMs = std::uint32_t;

/// Milliseconds from `then` to `now`, right across the wrap while they are less than 24 days apart.
[[nodiscard]] constexpr std::int32_t ms_since(TickMs now, TickMs then) noexcept {
  return static_cast<std::int32_t>(now - then);
}

[[nodiscard]] inline std::uint64_t monotonic_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(time.tv_nsec);
}

[[nodiscard]] inline TickMs tick_ms_now() noexcept {
  return static_cast<TickMs>(monotonic_ns() / 1'000'000U);
}

}  // namespace lb
