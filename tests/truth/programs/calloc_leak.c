// SPDX-License-Identifier: Apache-2.0
// Leaks calloc(10, 33) and calloc(0, 8); frees calloc(7, 7).
#include <stdlib.h>

#include "keep.h"

SITE void leak_array(void) { keep(calloc(hidden(10), 33)); }

SITE void leak_nothing(void) { keep(calloc(hidden(0), 8)); }

int main(void) {
  leak_array();
  leak_nothing();
  free(keep(calloc(hidden(7), 7)));
  return 0;
}
