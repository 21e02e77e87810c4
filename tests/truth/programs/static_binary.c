// SPDX-License-Identifier: Apache-2.0
// Leaks 90 bytes from a static binary; 4 reallocs, 1 calloc.
// flags: -static
// truth-flags: -O1
// heap: main: a static libc takes blocks of its own at start
#include <stdlib.h>

#include "keep.h"

SITE void leak(void) { keep(malloc(30)); }

SITE void grow(void) {
  void* block = keep(malloc(1));
  for (size_t bytes = 15; bytes <= 60; bytes += 15) block = keep(realloc(block, bytes));
}

int main(void) {
  leak();
  grow();
  free(keep(calloc(10, 10)));
  return 0;
}
