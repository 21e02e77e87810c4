// SPDX-License-Identifier: Apache-2.0
// Leaks what realloc(NULL, 77) gave; another is freed.
#include <stdlib.h>

#include "keep.h"

SITE void* take(size_t bytes) { return keep(realloc(NULL, bytes)); }

int main(void) {
  take(77);
  free(take(78));
  return 0;
}
