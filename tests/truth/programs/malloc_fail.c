// SPDX-License-Identifier: Apache-2.0
// Leaks 40 bytes; a hundred mallocs of too much fail in between.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE int fail(void) { return !keep(malloc(too_much())) && errno == ENOMEM; }

SITE void leak(void) { keep(malloc(40)); }

int main(void) {
  int failed = 0;
  for (int i = 0; i < 100; ++i) failed += fail();
  leak();
  printf("failed %d\n", failed);
  return 0;
}
