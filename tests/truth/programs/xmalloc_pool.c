// SPDX-License-Identifier: Apache-2.0
// Leaks 3 of the 5 chunks of 8,192 bytes that a pool takes by its xmalloc; what is cut from them is
// no block.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

enum { kChunk = 8192, kChunksMax = 5 };
static char* chunks[kChunksMax];
static size_t chunk_count, used = kChunk;

SITE void* xmalloc(size_t bytes) {
  void* block = malloc(bytes);
  if (!block) abort();
  return keep(block);
}

SITE void* pool_take(size_t bytes) {
  if (used + bytes > kChunk) {
    chunks[chunk_count++] = (char*)xmalloc(kChunk);
    used = 0;
  }
  used += bytes;
  return chunks[chunk_count - 1] + used - bytes;
}

int main(void) {
  for (int i = 0; i < 600; ++i) keep(pool_take(64));
  for (size_t i = 0; i < 2; ++i) {
    free(chunks[i]);
    chunks[i] = NULL;
  }
  printf("chunks %zu\n", chunk_count);
  return 0;
}
