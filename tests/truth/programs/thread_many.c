// SPDX-License-Identifier: Apache-2.0
// Leaks 88 bytes in each of 100 threads that follow each other.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

SITE void* worker(void* unused) {
  free(keep(malloc(1000)));
  keep(malloc(88));
  return unused;
}

int main(void) {
  for (int i = 0; i < 100; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, worker, NULL);
    pthread_join(thread, NULL);
  }
  return 0;
}
