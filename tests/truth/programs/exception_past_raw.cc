// SPDX-License-Identifier: Apache-2.0
// Leaks a raw block in each of 25 frames that an exception passes; what has an owner is freed.
#include <cstdio>
#include <memory>

#include "keep.h"

SITE void descend(int depth) {
  keep(new char[10]);
  auto owned = std::make_unique<char[]>(20);
  keep(owned.get());
  if (depth == 1) throw depth;
  descend(depth - 1);
}

int main() {
  try {
    descend(25);
  } catch (int depth) {
    std::printf("caught %d\n", depth);
  }
  return 0;
}
