// SPDX-License-Identifier: Apache-2.0
// Leaks 57 bytes, three calls down, from a binary that keeps frame pointers.
// flags: -fno-omit-frame-pointer
#include <stdlib.h>

#include "keep.h"

SITE void leak(void) { keep(malloc(57)); }

SITE void middle(void) { leak(); }

int main(void) {
  middle();
  return 0;
}
