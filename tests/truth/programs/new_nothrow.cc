// SPDX-License-Identifier: Apache-2.0
// Leaks 15 and 16 bytes of nothrow new; those of too much give nullptr.
// truth-flags: -static-libstdc++: valgrind cannot fail in operator new
#include <cstdio>
#include <new>

#include "keep.h"

SITE char* one(size_t bytes) {
  return static_cast<char*>(keep(::operator new(bytes, std::nothrow)));
}

SITE char* many(size_t bytes) { return static_cast<char*>(keep(new (std::nothrow) char[bytes])); }

int main() {
  one(15);
  many(16);
  ::operator delete(one(17), std::nothrow);
  if (one(too_much()) || many(too_much())) return 1;
  std::puts("both failed");
  return 0;
}
