// SPDX-License-Identifier: Apache-2.0
// Leaks 31 bytes in an atexit handler; what main left is freed by another handler.
#include <stdlib.h>

#include "keep.h"

static void* left;

SITE void frees(void) { free(left); }

SITE void leaks(void) { keep(malloc(31)); }

int main(void) {
  left = keep(malloc(1000));
  atexit(frees);
  atexit(leaks);
  return 0;
}
