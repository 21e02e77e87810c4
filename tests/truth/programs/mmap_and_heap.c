// SPDX-License-Identifier: Apache-2.0
// Leaks both: a mapping of 1 MB and a block of 1 MB, which the allocator maps for itself.
// expect: mapped=1048576
#include <stdlib.h>
#include <sys/mman.h>

#include "keep.h"

SITE void* map(size_t bytes) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE void* take(size_t bytes) { return keep(malloc(bytes)); }

int main(void) {
  map(1 << 20);
  take(1 << 20);
  return 0;
}
