// SPDX-License-Identifier: Apache-2.0
// Leaks a block of 1,000 bytes that realloc grew in a hundred steps; the stack is the last step's.
#include <stdlib.h>

#include "keep.h"

SITE void* start(void) { return keep(malloc(10)); }

SITE void* grow(void* block, size_t bytes) { return keep(realloc(block, bytes)); }

int main(void) {
  void* block = start();
  for (size_t bytes = 20; bytes <= 1000; bytes += 10) block = grow(block, bytes);
  return 0;
}
