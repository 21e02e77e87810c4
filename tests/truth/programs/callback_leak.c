// SPDX-License-Identifier: Apache-2.0
// Leaks from a comparator that qsort calls: the stack passes through libc, which has no frame
// pointers.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

static int compared;

SITE int compare(const void* a, const void* b) {
  if (++compared % 8 == 0) keep(malloc(12));
  return *(const int*)a - *(const int*)b;
}

SITE void sort(int* numbers, size_t count) { qsort(numbers, count, sizeof *numbers, compare); }

int main(void) {
  int numbers[64];
  for (int i = 0; i < 64; ++i) numbers[i] = (i * 37) % 64;
  sort(numbers, 64);
  printf("%d %d %d\n", numbers[0], numbers[63], compared);
  return 0;
}
