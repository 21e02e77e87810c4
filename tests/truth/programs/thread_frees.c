// SPDX-License-Identifier: Apache-2.0
// Leaks nothing of its own: a thread frees the 1,000 blocks that main took.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

static void* blocks[1000];

SITE void* worker(void* unused) {
  for (int i = 0; i < 1000; ++i) free(blocks[i]);
  return unused;
}

int main(void) {
  for (size_t i = 0; i < 1000; ++i) blocks[i] = keep(malloc(i % 128 + 1));
  pthread_t thread;
  pthread_create(&thread, NULL, worker, NULL);
  pthread_join(thread, NULL);
  return 0;
}
