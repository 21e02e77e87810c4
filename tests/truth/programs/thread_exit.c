// SPDX-License-Identifier: Apache-2.0
// Leaks 81 bytes of a function that pthread_exit leaves; its cleanup handler frees another block.
// expect: mapped=any
#include <pthread.h>
#include <stdlib.h>

#include "keep.h"

SITE void inner(void) {
  keep(malloc(81));
  pthread_exit(NULL);
}

SITE void* worker(void* unused) {
  void* block = keep(malloc(82));
  pthread_cleanup_push(free, block);
  inner();
  pthread_cleanup_pop(1);
  return unused;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, worker, NULL);
  pthread_join(thread, NULL);
  return 0;
}
