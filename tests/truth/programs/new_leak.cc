// SPDX-License-Identifier: Apache-2.0
// Leaks 3 objects of operator new, of 24 bytes; 2 others are deleted.
#include "keep.h"

struct Point {
  double x = 1, y = 2, z = 3;
};

SITE Point* make() { return static_cast<Point*>(keep(new Point)); }

int main() {
  for (int i = 0; i < 3; ++i) make();
  for (int i = 0; i < 2; ++i) delete make();
  return 0;
}
