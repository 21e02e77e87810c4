// SPDX-License-Identifier: Apache-2.0
// eventually(): waits for what no event tells, with a limit.
#pragma once

#include <poll.h>

#include <chrono>

namespace lb::test {

/// True as soon as `done` says so, false after `limit`; looks every millisecond.
template <class Done>
[[nodiscard]] bool eventually(Done&& done,
                              std::chrono::milliseconds limit = std::chrono::seconds(5)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    (void)poll(nullptr, 0, 1);
  }
  return true;
}

}  // namespace lb::test
