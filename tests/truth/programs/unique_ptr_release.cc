// SPDX-License-Identifier: Apache-2.0
// Leaks what unique_ptr released, 5 times 80 bytes; what it owns to the end goes.
#include <memory>

#include "keep.h"

struct Item {
  char bytes[80];
};

SITE void release() {
  auto item = std::make_unique<Item>();
  keep(item.release());
}

SITE void own() {
  auto item = std::make_unique<Item>();
  keep(item.get());
}

int main() {
  for (int i = 0; i < 5; ++i) {
    release();
    own();
  }
  return 0;
}
