// SPDX-License-Identifier: Apache-2.0
// Leaks by a global operator new of its own, which puts 16 bytes before each block.
#include <cstdlib>
#include <new>
#include <vector>

#include "keep.h"

void* operator new(size_t bytes) {
  char* block = static_cast<char*>(std::malloc(bytes + 16));
  if (block == nullptr) throw std::bad_alloc();
  return keep(block + 16);
}

void operator delete(void* block) noexcept {
  if (block != nullptr) std::free(static_cast<char*>(block) - 16);
}

void operator delete(void* block, size_t) noexcept { ::operator delete(block); }

SITE void lose() { keep(new std::vector<int>(50)); }

int main() {
  lose();
  std::vector<int> freed(1000);
  keep(freed.data());
  return 0;
}
