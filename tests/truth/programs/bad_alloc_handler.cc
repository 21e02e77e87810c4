// SPDX-License-Identifier: Apache-2.0
// Leaks 45 bytes: a new_handler gives a reserve of 1 MB back, then gives up, and new throws.
// truth-flags: -static-libstdc++: valgrind cannot throw from operator new
#include <cstdio>
#include <cstdlib>
#include <new>

#include "keep.h"

static void* reserve;

SITE void give_back() {
  std::free(reserve);
  reserve = nullptr;
  std::set_new_handler(nullptr);
}

SITE void* take(size_t bytes) { return keep(::operator new[](bytes)); }

int main() {
  reserve = keep(std::malloc(1 << 20));
  std::set_new_handler(give_back);
  try {
    take(too_much());
  } catch (const std::bad_alloc&) {
    std::puts("caught");
  }
  take(45);
  return reserve != nullptr;
}
