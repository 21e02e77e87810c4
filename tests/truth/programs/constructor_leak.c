// SPDX-License-Identifier: Apache-2.0
// Leaks 41 bytes in a constructor and 43 in a destructor, before and after main.
#include <stdlib.h>

#include "keep.h"

static void* block;

__attribute__((constructor)) SITE void begin(void) {
  keep(malloc(41));
  block = keep(malloc(42));
}

__attribute__((destructor)) SITE void end(void) {
  free(block);
  keep(malloc(43));
}

int main(void) { return 0; }
