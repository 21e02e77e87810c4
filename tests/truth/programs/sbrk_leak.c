// SPDX-License-Identifier: Apache-2.0
// Leaks 5 pages behind the break: 8 are taken by sbrk, 3 given back.
// expect: mapped=20480
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "keep.h"

SITE void* take(intptr_t bytes) { return sbrk(bytes); }

int main(void) {
  long before = mapped_bytes();
  take(32768);
  take(-12288);
  return mapped_bytes() - before == 20480 ? 0 : 1;
}
