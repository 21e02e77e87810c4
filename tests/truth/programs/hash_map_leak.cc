// SPDX-License-Identifier: Apache-2.0
// Leaks a hash map of 500 texts with its buckets, which were rehashed on the way.
#include <string>
#include <unordered_map>

#include "keep.h"

SITE void fill(std::unordered_map<std::string, int>& numbers) {
  for (int i = 0; i < 500; ++i)
    numbers[std::string(10 + static_cast<size_t>(i) % 30, 'k') + std::to_string(i)] = i;
}

int main() {
  auto* numbers = new std::unordered_map<std::string, int>;
  fill(*numbers);
  keep(numbers);
  return 0;
}
