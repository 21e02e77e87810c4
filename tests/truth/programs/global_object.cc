// SPDX-License-Identifier: Apache-2.0
// Leaks nothing of its own: globals are made before main and go after it.
#include <string>
#include <vector>

#include "keep.h"

static std::vector<std::string> texts{"a text that is too long to be held in place", "short"};

SITE std::vector<int>& on_first_use() {
  static std::vector<int> numbers(100);
  return numbers;
}

int main() {
  keep(on_first_use().data());
  texts.emplace_back(200, 'x');
  return 0;
}
