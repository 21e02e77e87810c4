// SPDX-License-Identifier: Apache-2.0
// Leaks nothing: 1,000 exceptions, thrown three calls down, each with its object and text, all
// freed.
#include <cstdio>
#include <stdexcept>
#include <string>

#include "keep.h"

SITE void inner(int number) {
  throw std::runtime_error("a text that is too long to be held in place: " +
                           std::to_string(number));
}

SITE void middle(int number) {
  std::string local(100, 'x');
  keep(local.data());
  inner(number);
}

int main() {
  size_t length = 0;
  for (int i = 0; i < 1000; ++i) {
    try {
      middle(i);
    } catch (const std::exception& error) {
      length += std::string(error.what()).size();
    }
  }
  std::printf("%zu\n", length);
  return 0;
}
