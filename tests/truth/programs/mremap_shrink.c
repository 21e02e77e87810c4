// SPDX-License-Identifier: Apache-2.0
// Leaks 1 page that was 10.
// expect: mapped=4096
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

SITE char* shrink(char* base) { return (char*)mremap(base, 40960, 4096, MREMAP_MAYMOVE); }

int main(void) {
  long before = mapped_bytes();
  shrink(map(40960));
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
