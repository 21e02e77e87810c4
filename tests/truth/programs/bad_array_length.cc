// SPDX-License-Identifier: Apache-2.0
// Leaks 12 bytes: new[] of a negative number throws before it asks for anything.
// truth-flags: -static-libstdc++: as its relatives
#include <cstdio>
#include <new>

#include "keep.h"

SITE int* take(long count) { return static_cast<int*>(keep(new int[static_cast<size_t>(count)])); }

int main() {
  try {
    take(-static_cast<long>(hidden(5)));
  } catch (const std::bad_array_new_length&) {
    std::puts("caught");
  }
  take(3);
  return 0;
}
