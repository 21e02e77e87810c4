// SPDX-License-Identifier: Apache-2.0
// Leaks 20 bytes; the program frees what the library gave, and the library what the program took.
// lib: plain
#include <dlfcn.h>
#include <stdlib.h>

#include "keep.h"

typedef void* take_function(size_t);
typedef void give_function(void*);

SITE void* own(size_t bytes) { return keep(malloc(bytes)); }

int main(int count, char** words) {
  void* library = count > 1 ? dlopen(words[1], RTLD_NOW) : NULL;
  if (!library) return 1;
  take_function* take = (take_function*)dlsym(library, "library_take");
  give_function* give = (give_function*)dlsym(library, "library_give");
  for (size_t i = 1; i < 50; ++i) {
    free(take(i));
    give(own(i));
  }
  own(20);
  return 0;
}
