// SPDX-License-Identifier: Apache-2.0
// Leaks a block a jump: longjmp leaves a function before its free, 30 times.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

static jmp_buf out;

SITE void leave(void) { longjmp(out, 1); }

SITE void lose(size_t bytes) {
  void* block = keep(malloc(bytes));
  leave();
  free(block);
}

int main(void) {
  volatile size_t jumps = 0;
  setjmp(out);
  if (++jumps <= 30) lose(jumps * 3);
  printf("jumps %zu\n", jumps);
  return 0;
}
