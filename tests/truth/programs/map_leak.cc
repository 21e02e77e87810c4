// SPDX-License-Identifier: Apache-2.0
// Leaks a map of 100 nodes, 30 of which are erased before.
#include <map>

#include "keep.h"

SITE void fill(std::map<int, int>& numbers) {
  for (int i = 0; i < 100; ++i) numbers[i] = i;
  for (int i = 0; i < 30; ++i) numbers.erase(i * 3);
}

int main() {
  auto* numbers = new std::map<int, int>;
  fill(*numbers);
  keep(numbers);
  std::map<int, int> freed;
  fill(freed);
  return 0;
}
