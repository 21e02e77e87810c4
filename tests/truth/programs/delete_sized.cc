// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: objects go by sized and by sized array delete.
#include <new>

#include "keep.h"

struct Item {
  ~Item() { keep(this); }
  char bytes[48];
};

SITE Item* one() { return static_cast<Item*>(keep(new Item)); }

SITE Item* many() { return static_cast<Item*>(keep(new Item[5])); }

int main() {
  for (int i = 0; i < 100; ++i) {
    delete one();
    delete[] many();
    ::operator delete(keep(::operator new(33)), size_t{33});
  }
  return 0;
}
