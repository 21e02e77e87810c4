// SPDX-License-Identifier: Apache-2.0
// Leaks no block of its own: 100 atexit handlers, for which libc takes blocks that it keeps.
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

static int called;

static void handler(void) { ++called; }

static void last(void) { printf("called %d\n", called); }

SITE void hand_over(void) {
  atexit(last);
  for (int i = 0; i < 100; ++i) atexit(handler);
}

int main(void) {
  hand_over();
  return 0;
}
