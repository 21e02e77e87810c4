// SPDX-License-Identifier: Apache-2.0
// Leaks 8 blocks above the mmap threshold, from 200,000 bytes to 3.4 MB; 4 others are freed.
#include <stdlib.h>
#include <string.h>

#include "keep.h"

SITE void* take_big(size_t bytes) {
  void* block = keep(malloc(bytes));
  memset(block, 1, 4096);
  return block;
}

int main(void) {
  for (size_t i = 0; i < 8; ++i) take_big(200000 + i * 450001);
  for (size_t i = 0; i < 4; ++i) free(take_big(1000000 + i));
  return 0;
}
