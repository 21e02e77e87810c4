// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: alloca and arrays of variable length are no blocks.
#include <alloca.h>
#include <stdio.h>
#include <string.h>

#include "keep.h"

SITE size_t on_the_stack(size_t bytes) {
  char array[bytes];
  char* more = keep(alloca(bytes * 2));
  memset(array, 1, bytes);
  memset(more, 2, bytes * 2);
  return (size_t)((char*)keep(array))[bytes - 1] + (size_t)more[0];
}

int main(void) {
  size_t sum = 0;
  for (size_t i = 1; i <= 500; ++i) sum += on_the_stack(i);
  printf("%zu\n", sum);
  return 0;
}
