// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: 100 mappings, unmapped in another order.
// expect: mapped=0
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

static void* maps[100];

int main(void) {
  long before = mapped_bytes();
  for (size_t i = 0; i < 100; ++i)
    maps[i] = mmap(NULL, 4096 * (i + 1), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < 100; ++i) munmap(maps[i * 7 % 100], 4096 * (i * 7 % 100 + 1));
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
