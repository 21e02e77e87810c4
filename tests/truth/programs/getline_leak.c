// SPDX-License-Identifier: Apache-2.0
// Leaks the line that getline grew, and nothing of the stream that it was read from.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE long read_all(FILE* stream) {
  char* line = NULL;
  size_t room = 0;
  long total = 0;
  while (getline(&line, &room, stream) > 0) total += (long)room;
  keep(line);
  return total;
}

int main(void) {
  static char text[2000];
  for (size_t i = 0; i < sizeof text; ++i) text[i] = i % 601 == 600 ? '\n' : 'x';
  FILE* stream = fmemopen(text, sizeof text, "r");
  printf("%ld\n", read_all(stream));
  fclose(stream);
  return 0;
}
