// SPDX-License-Identifier: Apache-2.0
// Leaks 6 pages: 2 are moved over the middle of 6 others, whose 2 vanish.
// expect: mapped=24576
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE char* move(char* from, char* to) {
  return (char*)mremap(from, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

int main(void) {
  long before = mapped_bytes();
  char* target = map(24576);
  char* source = map(8192);
  move(source, target + 8192);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
