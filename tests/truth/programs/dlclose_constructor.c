// SPDX-License-Identifier: Apache-2.0
// Leaks 17 bytes a round, 4 rounds of dlopen and dlclose: the stacks are of code that is gone.
// lib: with_constructor
// stacks: no: valgrind has forgotten the names
#include <dlfcn.h>
#include <stdio.h>

#include "keep.h"

SITE int round_trip(const char* path) {
  void* library = dlopen(path, RTLD_NOW);
  return library && dlclose(library) == 0;
}

int main(int count, char** words) {
  int rounds = 0;
  for (int i = 0; count > 1 && i < 4; ++i) rounds += round_trip(words[1]);
  printf("rounds %d\n", rounds);
  return 0;
}
