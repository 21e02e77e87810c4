// SPDX-License-Identifier: Apache-2.0
// Leaks mappings of odd lengths, which the kernel rounds up to pages: 1 byte and 4,097.
// expect: mapped=12288
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE void* map(size_t bytes) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  map(1);
  map(4097);
  munmap(map(5000), 4100);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
