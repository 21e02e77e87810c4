// SPDX-License-Identifier: Apache-2.0
// Leaks a deque and a list: blocks of 512 bytes and their table, and a node an element.
#include <deque>
#include <list>

#include "keep.h"

SITE void fill(std::deque<long>& numbers) {
  for (int i = 0; i < 1000; ++i) numbers.push_back(i);
  for (int i = 0; i < 300; ++i) numbers.pop_front();
}

SITE void fill(std::list<long>& numbers) {
  for (int i = 0; i < 40; ++i) numbers.push_front(i);
}

int main() {
  auto* deque = new std::deque<long>;
  auto* list = new std::list<long>;
  fill(*deque);
  fill(*list);
  keep(deque);
  keep(list);
  return 0;
}
