// SPDX-License-Identifier: Apache-2.0
// Leaks 1 block of 99 bytes; new of too much throws bad_alloc 20 times, and it is caught.
// truth-flags: -static-libstdc++: valgrind cannot throw from operator new
#include <cstdio>
#include <new>

#include "keep.h"

SITE void* take(size_t bytes) { return keep(::operator new(bytes)); }

SITE bool fails() {
  try {
    take(too_much());
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

int main() {
  int failed = 0;
  for (int i = 0; i < 20; ++i) failed += fails();
  take(99);
  std::printf("caught %d\n", failed);
  return 0;
}
