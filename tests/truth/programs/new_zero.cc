// SPDX-License-Identifier: Apache-2.0
// Leaks an object of no bytes, for which libstdc++ asks for one.
// truth-flags: -static-libstdc++: valgrind counts 0
#include <new>

#include "keep.h"

SITE void* take() { return keep(::operator new(hidden(0))); }

int main() {
  take();
  ::operator delete(take());
  return 0;
}
