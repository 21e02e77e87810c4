// SPDX-License-Identifier: Apache-2.0
// Leaks 66 bytes: what the program had before it executed itself went with its memory.
// processes: exec
#include <stdlib.h>
#include <unistd.h>

#include "keep.h"

SITE void before(void) { keep(malloc(65)); }

SITE void after(void) { keep(malloc(66)); }

int main(int count, char** words) {
  if (count > 1) {
    after();
    return 0;
  }
  before();
  execl(words[0], words[0], "again", (char*)NULL);
  return 127;
}
