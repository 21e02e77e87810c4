// SPDX-License-Identifier: Apache-2.0
// Leaks 2,000 of 20,000 small blocks, of 8 to 107 bytes, from 2 places.
#include <stdlib.h>

#include "keep.h"

SITE void* even(size_t bytes) { return keep(malloc(bytes)); }

SITE void* odd(size_t bytes) { return keep(malloc(bytes)); }

int main(void) {
  for (size_t i = 0; i < 20000; ++i) {
    void* block = i % 2 ? odd(8 + i % 100) : even(8 + i % 100);
    if (i % 11 >= 1 || i >= 22000 - 11) free(block);
  }
  return 0;
}
