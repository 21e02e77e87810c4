// SPDX-License-Identifier: Apache-2.0
// Leaks 6 pages: of 4, the first grows to 3 and must move away; the other 3 stay.
// expect: mapped=24576
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE char* grow(char* base) { return (char*)mremap(base, 4096, 12288, MREMAP_MAYMOVE); }

int main(void) {
  long before = mapped_bytes();
  char* base = map(16384);
  char* now = grow(base);
  long mapped = mapped_bytes() - before;
  puts(now != base ? "moved" : "stayed");
  printf("mapped %ld\n", mapped);
  return 0;
}
