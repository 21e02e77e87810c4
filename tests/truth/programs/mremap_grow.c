// SPDX-License-Identifier: Apache-2.0
// Leaks 7 pages that were 2: mremap grows in place, for the space behind is free.
// expect: mapped=28672
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE char* grow(char* base) { return (char*)mremap(base, 8192, 28672, 0); }

int main(void) {
  long before = mapped_bytes();
  char* base = map(28672);
  munmap(base + 8192, 20480);
  char* now = grow(base);
  long mapped = mapped_bytes() - before;
  puts(now == base ? "in place" : "not in place");
  printf("mapped %ld\n", mapped);
  return 0;
}
