// SPDX-License-Identifier: Apache-2.0
// Leaks 640 bytes at 128; another is freed, a third is grown by realloc and leaked.
#include <stdlib.h>

#include "keep.h"

SITE void* take(size_t alignment, size_t bytes) { return keep(aligned_alloc(alignment, bytes)); }

SITE void* grow(void* block) { return keep(realloc(block, 5000)); }

int main(void) {
  take(128, 640);
  free(take(1024, 2048));
  grow(take(64, 64));
  return 0;
}
