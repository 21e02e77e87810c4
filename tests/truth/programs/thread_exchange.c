// SPDX-License-Identifier: Apache-2.0
// Leaks 100 blocks of 40 bytes: one thread takes 2,000 and hands them to another that frees all but
// those.
// expect: mapped=any
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "keep.h"

enum { kBlocks = 2000, kRoom = 16 };
static void* ring[kRoom];
static sem_t full, empty;

SITE void* producer(void* unused) {
  for (int i = 0; i < kBlocks; ++i) {
    sem_wait(&empty);
    ring[i % kRoom] = keep(malloc(40));
    sem_post(&full);
  }
  return unused;
}

SITE void* consumer(void* unused) {
  for (int i = 0; i < kBlocks; ++i) {
    sem_wait(&full);
    if (i % 20) free(ring[i % kRoom]);
    sem_post(&empty);
  }
  return unused;
}

int main(void) {
  pthread_t threads[2];
  sem_init(&full, 0, 0);
  sem_init(&empty, 0, kRoom);
  pthread_create(&threads[0], NULL, producer, NULL);
  pthread_create(&threads[1], NULL, consumer, NULL);
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  return 0;
}
