// SPDX-License-Identifier: Apache-2.0
// Leaks arrays: 100 ints, and 10 objects with destructors, which takes 8 bytes for their number.
#include "keep.h"

struct Item {
  Item() { keep(this); }
  ~Item() { keep(this); }
  int value = 1;
};

SITE int* plain() { return static_cast<int*>(keep(new int[100])); }

SITE Item* counted() { return static_cast<Item*>(keep(new Item[10])); }

int main() {
  plain();
  counted();
  delete[] plain();
  delete[] counted();
  return 0;
}
