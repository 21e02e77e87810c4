// SPDX-License-Identifier: Apache-2.0
// Leaks what a constructor took by hand before it threw; the object itself is freed.
#include <cstdio>

#include "keep.h"

struct Careless {
  explicit Careless(bool bad) : data(static_cast<char*>(keep(new char[150]))) {
    if (bad) throw 1;
  }
  ~Careless() { delete[] data; }
  char* data;
  char more[200];
};

SITE void make(bool bad) { delete static_cast<Careless*>(keep(new Careless(bad))); }

int main() {
  int caught = 0;
  for (int i = 0; i < 10; ++i) {
    try {
      make(i % 2 == 0);
    } catch (int) {
      ++caught;
    }
  }
  std::printf("caught %d\n", caught);
  return 0;
}
