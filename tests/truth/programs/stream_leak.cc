// SPDX-License-Identifier: Apache-2.0
// Leaks an ostringstream with its text; iostreams take nothing at exit that is not freed or
// libstdc++'s own.
#include <iostream>
#include <sstream>

#include "keep.h"

SITE void lose() {
  auto* stream = new std::ostringstream;
  for (int i = 0; i < 200; ++i) *stream << i << ' ';
  keep(stream);
}

int main() {
  lose();
  std::ostringstream freed;
  freed << "a text that is too long to be held in place";
  std::cout << freed.str() << std::endl;
  return 0;
}
