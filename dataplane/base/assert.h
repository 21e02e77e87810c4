// SPDX-License-Identifier: Apache-2.0
// LB_ASSERT: our own mistakes, checked in every build. LB_DCHECK: the same in debug builds, per
// packet.
#pragma once

namespace lb {
/// Prints the place and the condition to stderr, then aborts.
[[noreturn]] void assert_failed(const char* condition, const char* file, int line) noexcept;
}  // namespace lb

#define LB_ASSERT(condition) \
  (__builtin_expect(!(condition), 0) ? ::lb::assert_failed(#condition, __FILE__, __LINE__) : void())

#ifdef LB_DEBUG
#define LB_DCHECK(condition) LB_ASSERT(condition)
#else
#define LB_DCHECK(condition) (void(sizeof((condition) ? 1 : 0)))
#endif
