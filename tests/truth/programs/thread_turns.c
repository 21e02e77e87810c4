// SPDX-License-Identifier: Apache-2.0
// Leaks from 3 threads that take turns, so that every order is fixed: for heaptrack's figures by
// stack. A turn takes 2 blocks and 5 temporary ones. All blocks are held when the last turn ends,
// then 20 of 60 are freed.
// expect: mapped=any
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "keep.h"

enum { kThreads = 3, kTurns = 10 };
static sem_t turns[kThreads];
static void* held[kThreads][kTurns][2];

SITE void* hold(size_t bytes) { return keep(malloc(bytes)); }

SITE void* hold_zeroed(size_t bytes) { return keep(calloc(1, bytes)); }

SITE void use(size_t bytes) { free(keep(malloc(bytes))); }

SITE void* worker(void* argument) {
  size_t number = (size_t)argument;
  for (size_t turn = 0; turn < kTurns; ++turn) {
    sem_wait(&turns[number]);
    for (size_t i = 0; i < 5; ++i) use(24 + i);
    held[number][turn][0] = hold(100 * (number + 1));
    held[number][turn][1] = hold_zeroed(30 + turn);
    sem_post(&turns[(number + 1) % kThreads]);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) sem_init(&turns[i], 0, i == 0);
  for (size_t i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, worker, (void*)i);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < kThreads; ++i)
    for (int turn = 0; turn < kTurns; ++turn)
      if (turn % 3 == 1 || turn == 0) free(held[i][turn][turn % 2]);
  return 0;
}
