// SPDX-License-Identifier: Apache-2.0
// Leaks the text of open_memstream, whose stream is closed.
#include <stdio.h>

#include "keep.h"

SITE size_t write_text(void) {
  char* text = NULL;
  size_t bytes = 0;
  FILE* stream = open_memstream(&text, &bytes);
  for (int i = 0; i < 1000; ++i) fprintf(stream, "%d ", i);
  fclose(stream);
  keep(text);
  return bytes;
}

int main(void) {
  printf("%zu\n", write_text());
  return 0;
}
