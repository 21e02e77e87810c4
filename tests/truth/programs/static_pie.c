// SPDX-License-Identifier: Apache-2.0
// Leaks 35 bytes from a static binary that is loaded anywhere.
// flags: -static-pie
// truth-flags: -O1
// heap: main: a static libc takes blocks of its own at start
#include <stdlib.h>
#include <string.h>

#include "keep.h"

SITE void leak(void) { keep(strdup("thirty-four bytes and their end...")); }

int main(void) {
  leak();
  free(keep(malloc(36)));
  return 0;
}
