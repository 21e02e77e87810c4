// SPDX-License-Identifier: Apache-2.0
// Leaks 63 bytes in the parent and 64 in the program that posix_spawn starts (this one again).
// processes: exec
#define _GNU_SOURCE
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void in_parent(void) { keep(malloc(63)); }

SITE void in_program(void) { keep(malloc(64)); }

int main(int count, char** words) {
  if (count > 1) {
    in_program();
    return 0;
  }
  in_parent();
  char again[] = "again";
  char* arguments[] = {words[0], again, NULL};
  pid_t child;
  if (posix_spawn(&child, words[0], NULL, NULL, arguments, environ)) return 1;
  waitpid(child, NULL, 0);
  return 0;
}
