// SPDX-License-Identifier: Apache-2.0
// Leaks in the child what it grew to 900 bytes, in the parent the 90 that they were.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void* take(void) { return keep(malloc(90)); }

SITE void grow(void* block) { keep(realloc(block, 900)); }

int main(void) {
  void* block = take();
  pid_t child = fork();
  if (child == 0)
    grow(block);
  else
    waitpid(child, NULL, 0);
  return 0;
}
