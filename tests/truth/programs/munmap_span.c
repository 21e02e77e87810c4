// SPDX-License-Identifier: Apache-2.0
// Leaks 4 pages: one munmap takes the end of one mapping, a hole, and the beginning of the next.
// Of 16 pages made by one place, 4 in the middle are a hole; the rest is 6 + 6, of which 4 + 4 go.
// expect: mapped=16384
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

enum { kPage = 4096 };

SITE char* map(char* at, size_t bytes, int flags) {
  return (char*)mmap(at, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* base = map(NULL, 16 * kPage, 0);
  munmap(base, 16 * kPage);
  map(base, 6 * kPage, MAP_FIXED);
  map(base + 10 * kPage, 6 * kPage, MAP_FIXED);
  munmap(base + 2 * kPage, 12 * kPage);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
