// SPDX-License-Identifier: Apache-2.0
// Leaks 58 bytes by a tail call and 59 by an inlined function, built with -O2.
// flags: -O2
#include <stdlib.h>

#include "keep.h"

SITE void* tail(size_t bytes) { return malloc(bytes); }

static inline void* inlined(void) { return keep(malloc(59)); }

SITE void caller(void) {
  keep(tail(58));
  keep(inlined());
}

int main(void) {
  caller();
  return 0;
}
