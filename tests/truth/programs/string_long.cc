// SPDX-License-Identifier: Apache-2.0
// Leaks a string and its text, grown by appending to 1,000 letters.
#include <string>

#include "keep.h"

SITE void lose() {
  auto* text = new std::string;
  for (int i = 0; i < 1000; ++i) *text += 'x';
  keep(text);
}

int main() {
  lose();
  std::string local(500, 'y');
  local.shrink_to_fit();
  keep(local.data());
  return 0;
}
