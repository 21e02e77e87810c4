// SPDX-License-Identifier: Apache-2.0
// Leaks one page; a mapping that is too large, one of no length and a munmap off a page's edge
// fail.
// expect: mapped=4096
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* page = map(4096);
  int failed = (map(too_much()) == MAP_FAILED) + (map(hidden(0)) == MAP_FAILED) +
               (munmap(page + 1, 4096) != 0);
  printf("failed %d\nmapped %ld\n", failed, mapped_bytes() - before);
  return 0;
}
