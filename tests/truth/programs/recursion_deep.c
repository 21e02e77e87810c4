// SPDX-License-Identifier: Apache-2.0
// Leaks 11 bytes at the bottom of 60 calls of one function, and 22 at the bottom of 20.
#include <stdlib.h>

#include "keep.h"

SITE void down(int depth, size_t bytes) {
  if (depth > 0)
    down(depth - 1, bytes);
  else
    keep(malloc(bytes));
  __asm__ volatile("");
}

int main(void) {
  down(60, 11);
  down(20, 22);
  return 0;
}
