// SPDX-License-Identifier: Apache-2.0
// Leaks in both: 10 bytes from before the fork twice, 20 in the child, 30 in the parent.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void shared(void) { keep(malloc(10)); }

SITE void in_child(void) { keep(malloc(20)); }

SITE void in_parent(void) { keep(malloc(30)); }

int main(void) {
  shared();
  pid_t child = fork();
  if (child == 0) {
    in_child();
    exit(0);
  }
  in_parent();
  waitpid(child, NULL, 0);
  return 0;
}
