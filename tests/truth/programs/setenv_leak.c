// SPDX-License-Identifier: Apache-2.0
// Leaks nothing that is lost: libc keeps the environment, and each value that was replaced.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "keep.h"

SITE void set(int number) {
  char value[32];
  snprintf(value, sizeof value, "value %d", number);
  setenv("TRUTH", value, 1);
}

int main(void) {
  clearenv();  // its size would count
  for (int i = 0; i < 20; ++i) set(i);
  unsetenv("TRUTH");
  return 0;
}
