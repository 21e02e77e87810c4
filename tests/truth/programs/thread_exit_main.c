// SPDX-License-Identifier: Apache-2.0
// Leaks 83 bytes: main leaves by pthread_exit, and the last thread ends the process.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

static pthread_t first;

SITE void* worker(void* unused) {
  pthread_join(first, NULL);
  keep(malloc(83));
  return unused;
}

int main(void) {
  first = pthread_self();
  pthread_t thread;
  pthread_create(&thread, NULL, worker, NULL);
  pthread_exit(NULL);
}
