// SPDX-License-Identifier: Apache-2.0
// Leaks 64 bytes: exit() from three calls down.
// exit: 3
#include <stdlib.h>

#include "keep.h"

SITE void inner(void* block) {
  keep(block);
  exit(3);
}

SITE void outer(void) {
  void* block = keep(malloc(64));
  inner(block);
  free(block);
}

int main(void) {
  outer();
  return 0;
}
