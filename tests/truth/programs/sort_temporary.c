// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: qsort of 64 kB takes a block for itself and frees it.
#include <stdio.h>
#include <stdlib.h>

static int compare(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }

int main(void) {
  static int numbers[16384];
  for (int i = 0; i < 16384; ++i) numbers[i] = (i * 7919) % 16384;
  for (int i = 0; i < 5; ++i) qsort(numbers, 16384, sizeof(int), compare);
  printf("%d\n", numbers[100]);
  return 0;
}
