// SPDX-License-Identifier: Apache-2.0
// Leaks 93 bytes a thread: exceptions in 3 threads at once, caught there.
// expect: mapped=any
// flags: -pthread
#include <array>
#include <stdexcept>
#include <thread>

#include "keep.h"

SITE void fail() {
  throw std::runtime_error("in a thread, with a text that does not fit in place");
}

SITE void work() {
  for (int i = 0; i < 200; ++i) {
    try {
      fail();
    } catch (const std::runtime_error&) {
      if (i == 100) keep(new char[93]);
    }
  }
}

int main() {
  std::array<std::thread, 3> threads;
  for (auto& thread : threads) thread = std::thread(work);
  for (auto& thread : threads) thread.join();
  return 0;
}
