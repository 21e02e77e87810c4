// SPDX-License-Identifier: Apache-2.0
// Leaks 94 bytes and an exception caught, with libstdc++ and libgcc inside the binary.
// flags: -static-libstdc++ -static-libgcc
#include <stdexcept>

#include "keep.h"

SITE void fail() { throw std::runtime_error("a text that is too long to be held in place"); }

SITE void leak() { keep(new char[94]); }

int main() {
  try {
    fail();
  } catch (const std::runtime_error&) {
    leak();
  }
  return 0;
}
