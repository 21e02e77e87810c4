// SPDX-License-Identifier: Apache-2.0
// Leaks 2 of 8 pages: the first 4 are unmapped, then the last 2.
// expect: mapped=8192
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* base = map(32768);
  munmap(base, 16384);
  munmap(base + 24576, 8192);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
