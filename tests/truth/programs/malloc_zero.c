// SPDX-License-Identifier: Apache-2.0
// Leaks three blocks of no bytes, which still are blocks, and one of 1 byte.
#include <stdlib.h>

#include "keep.h"

SITE void leak_empty(void) { keep(malloc(hidden(0))); }

SITE void leak_byte(void) { keep(malloc(1)); }

int main(void) {
  for (int i = 0; i < 3; ++i) leak_empty();
  leak_byte();
  free(keep(malloc(hidden(0))));
  return 0;
}
