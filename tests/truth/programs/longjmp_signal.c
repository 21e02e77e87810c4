// SPDX-License-Identifier: Apache-2.0
// Leaks 100 bytes: a handler leaves a function by siglongjmp, between its malloc and its free.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

static sigjmp_buf out;

static void on_signal(int number) { siglongjmp(out, number); }

SITE void lose(void) {
  void* block = keep(malloc(100));
  raise(SIGUSR1);
  free(block);
}

int main(void) {
  signal(SIGUSR1, on_signal);
  if (sigsetjmp(out, 1) == 0) lose();
  free(keep(malloc(200)));
  puts("left");
  return 0;
}
