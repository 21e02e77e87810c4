// SPDX-License-Identifier: Apache-2.0
// Leaks 61 bytes in the parent and 62 in the program that the child of vfork executes (this one
// again).
// processes: exec
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

SITE void in_parent(void) { keep(malloc(61)); }

SITE void in_program(void) { keep(malloc(62)); }

int main(int count, char** words) {
  if (count > 1) {
    in_program();
    return 0;
  }
  in_parent();
  pid_t child = vfork();
  if (child == 0) {
    execl(words[0], words[0], "again", (char*)NULL);
    _exit(127);
  }
  waitpid(child, NULL, 0);
  return 0;
}
