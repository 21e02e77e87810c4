// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: a thousand blocks, all freed in another order; ends by exit().
#include <stdlib.h>

#include "keep.h"

static void* blocks[1000];

SITE void take(void) {
  for (size_t i = 0; i < 1000; ++i) blocks[i] = keep(malloc(i + 1));
}

int main(void) {
  take();
  for (size_t i = 0; i < 1000; ++i) free(blocks[(i * 7) % 1000]);
  exit(0);
}
