// SPDX-License-Identifier: Apache-2.0
// Leaks 25 bytes in each of 8 children that run at once; the parent's 1,000 blocks are freed by
// all.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

static void* blocks[1000];

SITE void leak(void) { keep(malloc(25)); }

SITE void free_all(void) {
  for (int i = 0; i < 1000; ++i) free(blocks[i]);
}

int main(void) {
  for (size_t i = 0; i < 1000; ++i) blocks[i] = keep(malloc(i));
  for (int i = 0; i < 8; ++i) {
    if (fork() == 0) {
      leak();
      free_all();
      return 0;
    }
  }
  while (wait(NULL) > 0) continue;
  free_all();
  return 0;
}
