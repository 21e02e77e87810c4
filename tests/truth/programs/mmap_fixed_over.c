// SPDX-License-Identifier: Apache-2.0
// Leaks 8 pages: a mapping of 2 laid over the middle of them replaces, and adds nothing.
// expect: mapped=32768
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(void* at, size_t bytes, int flags) {
  return (char*)mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* base = map(NULL, 32768, 0);
  map(base + 12288, 8192, MAP_FIXED);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
