// SPDX-License-Identifier: Apache-2.0
// Leaks 70 bytes by _exit, which calls no handler: what the handler would have freed is
// outstanding.
#include <stdlib.h>
#include <unistd.h>

#include "keep.h"

static void* left;

static void frees(void) { free(left); }

SITE void take(void) { left = keep(malloc(70)); }

int main(void) {
  atexit(frees);
  take();
  _exit(0);
}
