// SPDX-License-Identifier: Apache-2.0
// Leaks 100 bytes at 64, which libstdc++ makes 128 before it asks the allocator.
// truth-flags: -static-libstdc++: valgrind counts without libstdc++'s rounding
#include <new>

#include "keep.h"

SITE void* take(size_t bytes) { return keep(::operator new(bytes, std::align_val_t{64})); }

int main() {
  take(100);
  ::operator delete(take(200), std::align_val_t{64});
  return 0;
}
