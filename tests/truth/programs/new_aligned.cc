// SPDX-License-Identifier: Apache-2.0
// Leaks 128 bytes at 64 and 4,096 at 4,096 by aligned new, plain and array; others are deleted.
// truth-flags: -static-libstdc++: valgrind counts without libstdc++'s rounding
#include <new>

#include "keep.h"

struct alignas(64) Line {
  char bytes[128];
};
struct alignas(4096) Page {
  char bytes[4096];
};

SITE Line* line() { return static_cast<Line*>(keep(new Line)); }

SITE Page* pages(size_t count) { return static_cast<Page*>(keep(new Page[count])); }

int main() {
  line();
  pages(1);
  delete line();
  delete[] pages(3);
  return 0;
}
