// SPDX-License-Identifier: Apache-2.0
// Leaks a block that realloc had to move, and the neighbour that was in its way.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void* first(void) { return keep(malloc(64)); }

SITE void neighbour(void) { keep(malloc(48)); }

SITE void* move(void* block) { return keep(realloc(block, 4000)); }

int main(void) {
  void* block = first();
  neighbour();
  void* old = keep(block);
  block = move(block);
  puts(block != old ? "moved" : "stayed");
  return 0;
}
