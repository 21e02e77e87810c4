// SPDX-License-Identifier: Apache-2.0
// Leaks 4 pages: mremap that may not move finds its neighbour in the way, fails and changes
// nothing.
// expect: mapped=16384
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE int fail(char* base) { return mremap(base, 4096, 8192, 0) == MAP_FAILED; }

int main(void) {
  long before = mapped_bytes();
  char* base = map(16384);
  int failed = fail(base);
  printf("failed %d\nmapped %ld\n", failed, mapped_bytes() - before);
  return 0;
}
