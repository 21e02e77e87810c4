// SPDX-License-Identifier: Apache-2.0
// Leaks 4 blocks of 3,000 bytes: 4 threads grow, at once, blocks that main took, over and over.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

SITE void* take(void) { return keep(malloc(8)); }

SITE void* grow(void* block) {
  for (size_t round = 0; round < 500; ++round) {
    block = keep(realloc(block, 24));
    block = keep(realloc(block, round % 3 ? 1000 : 200));
  }
  return keep(realloc(block, 3000));
}

int main(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, grow, take());
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  return 0;
}
