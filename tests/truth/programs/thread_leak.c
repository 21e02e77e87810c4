// SPDX-License-Identifier: Apache-2.0
// Leaks in each of 4 threads 10 blocks of its own size.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

SITE void* worker(void* number) {
  for (int i = 0; i < 10; ++i) keep(malloc(16 * (size_t)number));
  return NULL;
}

int main(void) {
  pthread_t threads[4];
  for (size_t i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, worker, (void*)(i + 1));
  for (size_t i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  return 0;
}
