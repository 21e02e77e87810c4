// SPDX-License-Identifier: Apache-2.0
// Leaks two texts of asprintf; a third is freed.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE char* format(int number, int width) {
  char* text = NULL;
  if (asprintf(&text, "%d and %*d", number, width, number) < 0) abort();
  return (char*)keep(text);
}

int main(void) {
  format(1, 10);
  format(2, 1000);
  free(format(3, 100));
  return 0;
}
