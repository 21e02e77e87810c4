// SPDX-License-Identifier: Apache-2.0
// Leaks 1 derived object of 3; the others are deleted by their base.
#include <memory>

#include "keep.h"

struct Base {
  virtual ~Base() = default;
  int number = 1;
};
struct Derived : Base {
  std::unique_ptr<char[]> own{new char[70]};
};

SITE Base* make() { return static_cast<Base*>(keep(new Derived)); }

int main() {
  delete make();
  make();
  delete make();
  return 0;
}
