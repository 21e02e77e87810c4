// SPDX-License-Identifier: Apache-2.0
// Leaks the last of the blocks that a vector grew through, and the vector.
#include <vector>

#include "keep.h"

SITE void fill(std::vector<int>& numbers) {
  for (int i = 0; i < 1000; ++i) numbers.push_back(i);
}

SITE void lose() {
  auto* numbers = new std::vector<int>;
  fill(*numbers);
  keep(numbers);
}

int main() {
  lose();
  std::vector<int> kept;
  fill(kept);
  keep(kept.data());
  return 0;
}
