// SPDX-License-Identifier: Apache-2.0
// Leaks 4 pages: MREMAP_DONTUNMAP moves 2 and leaves the old 2 mapped, empty.
// expect: mapped=16384
#define _GNU_SOURCE
#include <linux/mman.h>
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE char* move(char* from) {
  return (char*)mremap(from, 8192, 8192, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* base = map(8192);
  char* now = move(base);
  long mapped = mapped_bytes() - before;
  puts(now != base ? "moved" : "stayed");
  printf("mapped %ld\n", mapped);
  return 0;
}
