// SPDX-License-Identifier: Apache-2.0
// Leaks 3 blocks of 111 bytes from a library that is loaded while the program runs, and stays.
// lib: plain
#include <dlfcn.h>
#include <stddef.h>

#include "keep.h"

typedef void* take_function(size_t);

SITE void leak(take_function* take) { keep(take(111)); }

int main(int count, char** words) {
  void* library = count > 1 ? dlopen(words[1], RTLD_NOW) : NULL;
  take_function* take = library ? (take_function*)dlsym(library, "library_take") : NULL;
  if (!take) return 1;
  for (int i = 0; i < 3; ++i) leak(take);
  return 0;
}
