// SPDX-License-Identifier: Apache-2.0
// A defined load, and what the allocator itself says of it. Linked with glibc's malloc or jemalloc.
//
//   load         makes 3,000 blocks, frees a third, and prints how much more the allocator has
//   given
//                out ("allocated N") and the sum of the sizes after rounding them ("rounded N")
//   load round   reads sizes from stdin, makes a block of each, and prints "rounded N"
//
// glibc counts a block with its header, in `uordblks` or, when it is mapped, in `hblkhd`; blocks in
// its per-thread cache count as given out, so it runs without (glibc.malloc.tcache_count=0), as
// jemalloc does (MALLOC_CONF=tcache:false). All blocks are made before the first is freed, so that
// none takes a hole that is too large for it.
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../programs/keep.h"

enum { kBlocks = 3000, kMapped = 20, kText = 128 };
enum { kHeader = 8, kMappedHeader = 16, kMappedFlag = 2 };

extern int mallctl(const char* name, void* old, size_t* old_bytes, void* new_value,
                   size_t new_bytes) __attribute__((weak));

static size_t allocated(void) {
  if (!mallctl) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }
  uint64_t epoch = 1;
  size_t bytes = 0, room = sizeof bytes;
  mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
  if (mallctl("stats.allocated", &bytes, &room, NULL, 0)) abort();
  return bytes;
}

/// What the allocator took for this block.
static size_t rounded(void* block) {
  size_t usable = malloc_usable_size(block);
  if (mallctl) return usable;
  const size_t head = ((const size_t*)block)[-1];  // of the chunk: its size, and 3 flags
  return usable + (head & kMappedFlag ? kMappedHeader : kHeader);
}

static void say(const char* what, size_t bytes) {
  char text[kText];  // stdio would take a block
  int length = snprintf(text, sizeof text, "%s %zu\n", what, bytes);
  if (write(STDOUT_FILENO, text, (size_t)length) != length) abort();
}

static int round_sizes(void) {
  size_t bytes, sum = 0;
  while (scanf("%zu", &bytes) == 1) sum += rounded(keep(malloc(bytes)));
  say("rounded", sum);
  return 0;
}

static size_t size_of(size_t number) {
  if (number % (kBlocks / kMapped) == 0) return 140000 + number * 111;
  return number * number * 31 % 4999 + number % 40;
}

SITE static void* make(size_t number) {
  switch (number % 4) {
    case 0:
      return keep(calloc(1, size_of(number)));
    case 1:
      return keep(realloc(NULL, size_of(number)));
    default:
      return keep(malloc(size_of(number)));
  }
}

int main(int count, char** words) {
  static void* blocks[kBlocks];
  if (count > 1 && strcmp(words[1], "round") == 0) return round_sizes();
  free(keep(malloc(1)));  // the allocator's own
  const size_t before = allocated();
  for (size_t i = 0; i < kBlocks; ++i) blocks[i] = make(i);
  size_t sum = 0;
  for (size_t i = 0; i < kBlocks; ++i) {
    if (i % 3 == 1)
      free(blocks[i]);
    else
      sum += rounded(blocks[i]);
  }
  say("before", before);
  say("allocated", allocated() - before);
  say("rounded", sum);
  return 0;
}
