// SPDX-License-Identifier: Apache-2.0
// Leaks 60 bytes by reallocarray; one whose product overflows leaves its block, which is leaked
// too.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void* make(void* block, size_t count) { return keep(reallocarray(block, count, 12)); }

SITE void* overflow(void* block) {
  return keep(reallocarray(block, hidden((size_t)1 << 40), (size_t)1 << 40));
}

int main(void) {
  make(make(NULL, 2), 5);
  void* lost = make(NULL, 3);
  if (overflow(lost)) return 1;
  free(make(NULL, 100));
  puts("failed");
  return 0;
}
