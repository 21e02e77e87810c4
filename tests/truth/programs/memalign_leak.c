// SPDX-License-Identifier: Apache-2.0
// Leaks 33 bytes at 32 and 500 at 512.
#include <malloc.h>
#include <stdlib.h>

#include "keep.h"

SITE void* take(size_t alignment, size_t bytes) { return keep(memalign(alignment, bytes)); }

int main(void) {
  take(32, 33);
  take(512, 500);
  for (size_t i = 1; i < 100; ++i) free(take(64, i));
  return 0;
}
