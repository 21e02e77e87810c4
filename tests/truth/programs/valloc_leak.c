// SPDX-License-Identifier: Apache-2.0
// Leaks 10 bytes on a page of their own by valloc.
#include <malloc.h>
#include <stdlib.h>

#include "keep.h"

SITE void* take(size_t bytes) { return keep(valloc(bytes)); }

int main(void) {
  take(10);
  free(take(9000));
  return 0;
}
