// SPDX-License-Identifier: Apache-2.0
// Leaks 2 objects of a class whose operator new takes 32 bytes more from malloc; a third is
// deleted.
#include <cstdlib>
#include <new>

#include "keep.h"

struct Item {
  static void* operator new(size_t bytes) { return keep(std::malloc(bytes + 32)); }
  static void operator delete(void* block) { std::free(block); }
  char bytes[8];
};

SITE Item* make() { return static_cast<Item*>(keep(new Item)); }

int main() {
  make();
  make();
  delete make();
  return 0;
}
