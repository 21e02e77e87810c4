// SPDX-License-Identifier: Apache-2.0
// Leaks 2 pages in the parent and, of the same, 1 in the child, which unmaps the other: 3 in all.
// expect: mapped=12288
#include <sys/mman.h>
#include <sys/wait.h>

#include "keep.h"

SITE char* map(size_t bytes) {
  return (char*)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  long before = mapped_bytes();
  char* base = map(8192);
  pid_t child = fork();
  if (child == 0) {
    munmap(base, 4096);
    return mapped_bytes() - before == 4096 ? 0 : 1;
  }
  int status = 1;
  waitpid(child, &status, 0);
  return mapped_bytes() - before == 8192 ? status : 1;
}
