// SPDX-License-Identifier: Apache-2.0
// Leaks 16 bytes that were 5,000; another that was shrunk is freed.
#include <stdlib.h>

#include "keep.h"

SITE void* make(void) { return keep(malloc(5000)); }

SITE void* shrink(void* block) { return keep(realloc(block, 16)); }

int main(void) {
  shrink(make());
  free(shrink(make()));
  return 0;
}
