// SPDX-License-Identifier: Apache-2.0
// Leaks by one function that two others call: 10 blocks of 30 bytes and 5 of 7.
#include <stdlib.h>

#include "keep.h"

SITE void take(size_t bytes) { keep(malloc(bytes)); }

SITE void left(void) { take(30); }

SITE void right(void) { take(7); }

int main(void) {
  for (int i = 0; i < 10; ++i) left();
  for (int i = 0; i < 5; ++i) right();
  exit(0);
}
