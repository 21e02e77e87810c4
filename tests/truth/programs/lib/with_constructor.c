// SPDX-License-Identifier: Apache-2.0
// A library whose constructor takes 2 blocks and leaks a third, and whose destructor frees the 2.
#include <stdlib.h>

#include "../keep.h"

static void* blocks[2];

__attribute__((constructor)) SITE void library_begin(void) {
  for (size_t i = 0; i < 2; ++i) blocks[i] = keep(malloc(500 + i));
  keep(malloc(17));
}

__attribute__((destructor)) SITE void library_end(void) {
  for (size_t i = 0; i < 2; ++i) free(blocks[i]);
}
