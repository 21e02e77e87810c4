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

/// Of two ticks that are less than 24 days apart.
[[nodiscard]] constexpr TickMs later_tick(TickMs a, TickMs b) noexcept {
  return ms_since(a, b) > 0 ? a : b;
}

[[nodiscard]] inline std::uint64_t monotonic_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(time.tv_nsec);
}

/// Seconds of CLOCK_BOOTTIME, which goes on while the machine sleeps: the clock of the deadlines in
/// a table of slots.
[[nodiscard]] inline std::uint32_t boot_s_now() noexcept {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return static_cast<std::uint32_t>(time.tv_sec);
}

[[nodiscard]] inline TickMs tick_ms_now() noexcept {
  return static_cast<TickMs>(monotonic_ns() / 1'000'000U);
}

}  // namespace lb
