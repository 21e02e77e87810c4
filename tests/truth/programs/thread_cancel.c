// SPDX-License-Identifier: Apache-2.0
// Leaks 84 bytes of a thread that is cancelled in a wait; its cleanup handler frees another block.
// expect: mapped=any
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "keep.h"

static sem_t ready, never;

SITE void* worker(void* unused) {
  keep(malloc(84));
  void* block = keep(malloc(85));
  pthread_cleanup_push(free, block);
  sem_post(&ready);
  sem_wait(&never);
  pthread_cleanup_pop(1);
  return unused;
}

int main(void) {
  pthread_t thread;
  sem_init(&ready, 0, 0);
  sem_init(&never, 0, 0);
  pthread_create(&thread, NULL, worker, NULL);
  sem_wait(&ready);
  pthread_cancel(thread);
  pthread_join(thread, NULL);
  return 0;
}
