// SPDX-License-Identifier: Apache-2.0
// Leaks 5 bytes; realloc(block, 0) frees its block and gives nothing.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void* make(size_t bytes) { return keep(malloc(bytes)); }

SITE void* to_nothing(void* block) { return keep(realloc(block, hidden(0))); }

int main(void) {
  for (size_t i = 0; i < 10; ++i)
    if (to_nothing(make(200 + i))) return 1;
  make(5);
  puts("freed");
  return 0;
}
