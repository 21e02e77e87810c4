/* SPDX-License-Identifier: Apache-2.0 */
/* What observe_bad_input_test.cc traces: a program that leaks as it is told, one letter a job, and
 * tells what it has done. Letters come as the argument, or else on standard input, each answered
 * there by itself. It ends with status 7 when all its blocks held what it wrote into them, so that
 * the test knows it was not harmed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  BLOCKS = 100,
  BLOCK_BYTES = 1000,
  STACKS_LOG2 = 15,
  STACK_BYTES = 16,
  UNHARMED = 7,
  HARMED = 8,
};

static void* kept[BLOCKS];
static int good = 1;

/* The compiler knows malloc and leaves calls out whose result is not used. */
static void* (*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void*) = free;

__attribute__((noinline)) void* leak_here(size_t bytes) {
  void* block = call_malloc(bytes);

  if (!block) {
    good = 0;
    return NULL;
  }
  memset(block, 0x5a, bytes);
  return block;
}

static void leak_blocks(void) {
  for (int i = 0; i < BLOCKS; ++i) {
    kept[i] = leak_here(BLOCK_BYTES);
    call_free(leak_here(BLOCK_BYTES / 2));
  }
  for (int i = 0; i < BLOCKS; ++i) {
    const unsigned char* bytes = kept[i];

    good = good && bytes && bytes[0] == 0x5a && bytes[BLOCK_BYTES - 1] == 0x5a;
  }
}

/* A stack for each number: a bit of it chooses the function on each level. */
static void* descend(uint32_t bits, int levels);

__attribute__((noinline)) void* descend_zero(uint32_t bits, int levels) {
  void* block = descend(bits, levels);

  __asm__ volatile("" : "+r"(block)); /* no tail call */
  return block;
}

__attribute__((noinline)) void* descend_one(uint32_t bits, int levels) {
  void* block = descend(bits, levels);

  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

static inline void* descend(uint32_t bits, int levels) {
  if (!levels) return leak_here(STACK_BYTES);
  return bits & 1 ? descend_one(bits >> 1, levels - 1) : descend_zero(bits >> 1, levels - 1);
}

static void leak_by_stacks(void) {
  for (uint32_t number = 0; number < 1U << STACKS_LOG2; ++number)
    good = good && descend(number, STACKS_LOG2);
}

static void work(char job) {
  if (job == 'l') leak_blocks();
  if (job == 's') leak_by_stacks();
}

int main(int count, char** words) {
  char job;

  if (count > 1) {
    for (const char* at = words[1]; *at; ++at) work(*at);
  } else {
    while (read(STDIN_FILENO, &job, 1) == 1) {
      work(job);
      if (write(STDOUT_FILENO, &job, 1) != 1) return HARMED;
    }
  }
  return good ? UNHARMED : HARMED;
}
