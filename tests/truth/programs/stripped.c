// SPDX-License-Identifier: Apache-2.0
// Leaks 56 bytes from a binary without symbols.
// flags: -s
// stacks: no: there are no names
#include <stdlib.h>

#include "keep.h"

SITE void leak(void) { keep(malloc(56)); }

int main(void) {
  leak();
  return 0;
}
