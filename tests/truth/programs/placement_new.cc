// SPDX-License-Identifier: Apache-2.0
// Leaks 64 bytes of malloc in which objects were placed; placement itself takes nothing.
#include <cstdlib>
#include <new>

#include "keep.h"

struct Item {
  explicit Item(int n) : number(n) { keep(this); }
  int number;
};

SITE void* room() { return keep(std::malloc(64)); }

int main() {
  char* at = static_cast<char*>(room());
  for (size_t i = 0; i < 16; ++i) new (at + i * 4) Item(static_cast<int>(i));
  return 0;
}
