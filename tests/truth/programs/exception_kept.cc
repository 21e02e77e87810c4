// SPDX-License-Identifier: Apache-2.0
// Leaks an exception that an exception_ptr keeps, in an object that is lost.
#include <exception>
#include <stdexcept>

#include "keep.h"

SITE std::exception_ptr caught() {
  try {
    throw std::logic_error("kept for ever, and longer than fits in place");
  } catch (...) {
    return std::current_exception();
  }
}

SITE void lose() { keep(new std::exception_ptr(caught())); }

int main() {
  lose();
  caught();
  return 0;
}
