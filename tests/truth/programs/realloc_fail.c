// SPDX-License-Identifier: Apache-2.0
// Leaks a block that a failed realloc left alone; another such block is freed after the failure.
// The leak's stack is that of its malloc.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void* make(size_t bytes) { return keep(malloc(bytes)); }

SITE int fail(void* block) { return keep(realloc(block, too_much())) == NULL; }

int main(void) {
  void* lost = make(321);
  void* kept = make(123);
  int failed = fail(lost) + fail(kept) + fail(lost);
  free(keep(kept));
  printf("failed %d\n", failed);
  return 0;
}
