// SPDX-License-Identifier: Apache-2.0
// Leaks nothing in the child, which frees what it inherited; 44 bytes in the parent, which does
// not.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void* take(void) { return keep(malloc(44)); }

int main(void) {
  void* block = take();
  pid_t child = fork();
  if (child == 0) {
    free(block);
    return 0;
  }
  waitpid(child, NULL, 0);
  return 0;
}
