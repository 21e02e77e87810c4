// SPDX-License-Identifier: Apache-2.0
// Leaks 2 pages of a file, and one shared page of no file.
// expect: mapped=12288
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "keep.h"

SITE void* map_file(int fd) { return mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0); }

SITE void* map_shared(void) {
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int main(int count, char** words) {
  int fd = open(words[count - count], O_RDONLY);
  long before = mapped_bytes();
  map_file(fd);
  map_shared();
  close(fd);
  printf("mapped %ld\n", mapped_bytes() - before);
  return 0;
}
