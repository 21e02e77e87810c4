// SPDX-License-Identifier: Apache-2.0
// Leaks 6 MB that realloc grew from 1 MB: the allocator maps it and remaps it.
#include <stdlib.h>

#include "keep.h"

SITE void* make(void) { return keep(malloc((size_t)1 << 20)); }

SITE void* grow(void* block, size_t bytes) { return keep(realloc(block, bytes)); }

int main(void) {
  void* block = make();
  for (size_t mb = 2; mb <= 6; ++mb) block = grow(block, mb << 20);
  free(grow(make(), 100));
  return 0;
}
