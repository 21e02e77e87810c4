// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: brk goes up by a megabyte and back.
// expect: mapped=0
#define _GNU_SOURCE
#include <unistd.h>

#include "keep.h"

SITE int set(char* end) { return brk(end); }

int main(void) {
  long before = mapped_bytes();
  char* base = (char*)sbrk(0);
  if (set(base + (1 << 20))) return 1;
  if (mapped_bytes() - before < 1 << 20) return 2;
  if (set(base)) return 3;
  return mapped_bytes() - before == 0 ? 0 : 4;
}
