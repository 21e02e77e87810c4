// SPDX-License-Identifier: Apache-2.0
// Leaks along three generations: each has what those above it had at the fork, and 5 bytes more.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void leak(void) { keep(malloc(5)); }

int main(void) {
  for (int generation = 0; generation < 3; ++generation) {
    leak();
    pid_t child = fork();
    if (child != 0) {
      waitpid(child, NULL, 0);
      return 0;
    }
  }
  return 0;
}
