// SPDX-License-Identifier: Apache-2.0
// What the truth programs share: hiding blocks and sizes from the optimiser, and asking the kernel
// how much is mapped. Nothing here allocates.
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

/// A function that has its own frame in every stack.
#define SITE __attribute__((noinline, noclone))

/// The optimiser may not know what becomes of the block.
static inline void* keep(void* block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

/// The optimiser may not know the size.
static inline size_t hidden(size_t bytes) {
  __asm__ volatile("" : "+r"(bytes));
  return bytes;
}

/// More than any machine has; no allocator gives it.
static inline size_t too_much(void) { return hidden((size_t)-1 / 2 - 4096); }

/// What the kernel counts as mapped by this process (the first number of /proc/self/statm).
static inline long mapped_bytes(void) {
  char text[128] = {0};
  long pages = 0;
  int fd = open("/proc/self/statm", O_RDONLY);
  if (read(fd, text, sizeof text - 1) < 1) return -1;
  close(fd);
  for (const char* digit = text; *digit >= '0' && *digit <= '9'; ++digit)
    pages = pages * 10 + (*digit - '0');
  return pages * 4096;
}
