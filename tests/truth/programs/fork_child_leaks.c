// SPDX-License-Identifier: Apache-2.0
// Leaks 200 bytes in the child; the parent frees all it has. The child ends by _exit.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void* before(void) { return keep(malloc(100)); }

SITE void in_child(void) { keep(malloc(200)); }

int main(void) {
  void* block = before();
  pid_t child = fork();
  if (child == 0) {
    free(block);
    in_child();
    _exit(0);
  }
  waitpid(child, NULL, 0);
  free(block);
  return 0;
}
