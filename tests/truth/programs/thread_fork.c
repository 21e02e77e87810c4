// SPDX-License-Identifier: Apache-2.0
// Leaks in a child that was forked while a thread of the parent holds blocks.
// expect: mapped=any
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keep.h"

static sem_t ready, forked;

SITE void* worker(void* unused) {
  void* block = keep(malloc(91));
  sem_post(&ready);
  sem_wait(&forked);
  free(block);
  return unused;
}

SITE void in_child(void) { keep(malloc(92)); }

int main(void) {
  pthread_t thread;
  sem_init(&ready, 0, 0);
  sem_init(&forked, 0, 0);
  pthread_create(&thread, NULL, worker, NULL);
  sem_wait(&ready);
  pid_t child = fork();
  if (child == 0) {
    in_child();
    _exit(0);
  }
  sem_post(&forked);
  pthread_join(thread, NULL);
  waitpid(child, NULL, 0);
  return 0;
}
