// SPDX-License-Identifier: Apache-2.0
// Leaks a mapping of 3 pages; another of 5 is unmapped.
// expect: mapped=12288
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE void* map(size_t bytes) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  map(12288);
  munmap(map(20480), 20480);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
