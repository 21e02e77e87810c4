// SPDX-License-Identifier: Apache-2.0
// Leaks 24 bytes; calloc whose product overflows, and one that is too much, give nothing.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void* overflow(void) { return keep(calloc(hidden((size_t)1 << 33), (size_t)1 << 32)); }

SITE void* enormous(void) { return keep(calloc(too_much(), 1)); }

SITE void leak(void) { keep(calloc(3, 8)); }

int main(void) {
  if (overflow() || enormous()) return 1;
  leak();
  puts("both failed");
  return 0;
}
