// SPDX-License-Identifier: Apache-2.0
// Leaks 13 of 16 pages: 3 in the middle are unmapped, twice, which is no error.
// expect: mapped=53248
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* base = map(65536);
  munmap(base + 20480, 12288);
  munmap(base + 20480, 12288);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
