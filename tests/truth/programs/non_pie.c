// SPDX-License-Identifier: Apache-2.0
// Leaks 55 bytes from a binary at a fixed address.
// flags: -no-pie
#include <stdlib.h>

#include "keep.h"

SITE void leak(void) { keep(malloc(55)); }

int main(void) {
  leak();
  return 0;
}
