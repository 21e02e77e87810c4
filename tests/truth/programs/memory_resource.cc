// SPDX-License-Identifier: Apache-2.0
// Leaks one of the growing buffers of a monotonic resource whose owner is lost; another owner frees
// all.
// flags: -std=c++20
#include <memory_resource>

#include "keep.h"

SITE void use(std::pmr::monotonic_buffer_resource& resource) {
  for (int i = 0; i < 100; ++i) keep(resource.allocate(64));
}

int main() {
  use(*new std::pmr::monotonic_buffer_resource);
  std::pmr::monotonic_buffer_resource freed;
  use(freed);
  return 0;
}
