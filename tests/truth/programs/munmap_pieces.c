// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: one mapping of 64 pages, unmapped page by page, the odd ones first.
// expect: mapped=0
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

int main(void) {
  long before = mapped_bytes();
  char* base = (char*)mmap(NULL, 64 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int odd = 1; odd >= 0; --odd)
    for (int i = odd; i < 64; i += 2) munmap(base + 4096L * i, 4096);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
