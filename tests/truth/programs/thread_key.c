// SPDX-License-Identifier: Apache-2.0
// Leaks 87 bytes of a thread's key without a destructor; the other key's destructor frees 86.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

static pthread_key_t freed, leaked;

SITE void* worker(void* unused) {
  pthread_setspecific(freed, keep(malloc(86)));
  pthread_setspecific(leaked, keep(malloc(87)));
  return unused;
}

int main(void) {
  pthread_key_create(&freed, free);
  pthread_key_create(&leaked, NULL);
  for (int i = 0; i < 3; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, worker, NULL);
    pthread_join(thread, NULL);
  }
  return 0;
}
