// SPDX-License-Identifier: Apache-2.0
// Leaks one block of 9 bytes among 20,000 that are freed at once.
#include <stdlib.h>

#include "keep.h"

SITE void use(size_t bytes) { free(keep(malloc(bytes))); }

SITE void leak(void) { keep(malloc(9)); }

int main(void) {
  for (size_t i = 0; i < 20000; ++i) {
    use(16 + i % 64);
    if (i == 10000) leak();
  }
  return 0;
}
