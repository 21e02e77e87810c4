// SPDX-License-Identifier: Apache-2.0
// Leaks one block of 5,000 bytes, as asked for (pvalloc makes whole pages of it).
// valgrind: no: it stops programs that call pvalloc
// lsan: no: it counts whole pages
// expect: heap=5000/1
#include <malloc.h>
#include <stdlib.h>

#include "keep.h"

SITE void* take(size_t bytes) { return keep(pvalloc(bytes)); }

int main(void) {
  take(5000);
  free(take(100));
  return 0;
}
