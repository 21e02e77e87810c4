// SPDX-License-Identifier: Apache-2.0
// Leaks the captures of two std::functions, and the functions; one is small enough for no block.
#include <array>
#include <functional>

#include "keep.h"

SITE void lose_small(int number) {
  keep(new std::function<int()>([number] { return number; }));
}

SITE void lose_large(int number) {
  std::array<int, 25> numbers{};
  numbers[3] = number;
  keep(new std::function<int()>([numbers] { return numbers[3]; }));
}

int main() {
  lose_small(1);
  lose_large(2);
  return 0;
}
