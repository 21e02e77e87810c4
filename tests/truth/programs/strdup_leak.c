// SPDX-License-Identifier: Apache-2.0
// Leaks by strdup and strndup: 12 bytes and 6.
#include <stdlib.h>
#include <string.h>

#include "keep.h"

SITE void whole(const char* text) { keep(strdup(text)); }

SITE void part(const char* text) { keep(strndup(text, 5)); }

int main(void) {
  whole("hello there");
  part("hello there");
  free(keep(strdup("freed")));
  return 0;
}
