// SPDX-License-Identifier: Apache-2.0
// Leaks what libc keeps of the message that a failed dlopen leaves.
#include <dlfcn.h>
#include <stdio.h>

#include "keep.h"

SITE int fail(void) { return dlopen("/nowhere/at/all.so", RTLD_NOW) == NULL && dlerror() != NULL; }

int main(void) {
  int failed = 0;
  for (int i = 0; i < 5; ++i) failed += fail();
  printf("failed %d\n", failed);
  return 0;
}
