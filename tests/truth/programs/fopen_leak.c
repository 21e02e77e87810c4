// SPDX-License-Identifier: Apache-2.0
// Leaks a stream that is not closed, with its buffer; another one is closed.
#include <stdio.h>

#include "keep.h"

SITE FILE* open_stream(void) {
  FILE* stream = fopen("/proc/self/stat", "r");
  keep(stream);
  return fgetc(stream) > 0 ? stream : NULL;
}

int main(void) {
  fclose(open_stream());
  return open_stream() == NULL;
}
