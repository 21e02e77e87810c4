// SPDX-License-Identifier: Apache-2.0
// Leaks 100 bytes at 64 and 3,000 at 4,096; a wrong alignment and too much give nothing.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void* take(size_t alignment, size_t bytes) {
  void* block = NULL;
  int error = posix_memalign(&block, alignment, bytes);
  return error ? NULL : keep(block);
}

int main(void) {
  take(64, 100);
  take(4096, 3000);
  free(take(256, 1000));
  if (take(hidden(24), 10) || take(64, too_much())) return 1;
  puts("wrong ones failed");
  return 0;
}
