// SPDX-License-Identifier: Apache-2.0
// Leaks 32 bytes: a string whose text fits in place takes no block of its own.
#include <string>

#include "keep.h"

SITE void lose(const char* text) { keep(new std::string(text)); }

int main() {
  lose("fifteen letters");
  std::string local("short");
  keep(local.data());
  return 0;
}
