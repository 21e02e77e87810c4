// SPDX-License-Identifier: Apache-2.0
// Leaks 95 bytes a thread; its thread_local vector goes with it.
// expect: mapped=any
// flags: -pthread
#include <thread>
#include <vector>

#include "keep.h"

static thread_local std::vector<int> numbers;

SITE void work() {
  numbers.resize(500);
  keep(numbers.data());
  keep(new char[95]);
}

int main() {
  for (int i = 0; i < 3; ++i) std::thread(work).join();
  work();
  return 0;
}
