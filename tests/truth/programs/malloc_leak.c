// SPDX-License-Identifier: Apache-2.0
// Leaks one block of 100 bytes; a second one is freed.
#include <stdlib.h>

#include "keep.h"

SITE void leak_one(void) { keep(malloc(100)); }

SITE void free_one(void) { free(keep(malloc(50))); }

int main(void) {
  leak_one();
  free_one();
  return 0;
}
