// SPDX-License-Identifier: Apache-2.0
// Leaks two objects that hold each other by shared_ptr; two others hold each other by one weak_ptr
// and go.
#include <memory>

#include "keep.h"

struct Node {
  std::shared_ptr<Node> strong;
  std::weak_ptr<Node> weak;
  char bytes[40];
};

SITE void strong_cycle() {
  auto first = std::make_shared<Node>(), second = std::make_shared<Node>();
  first->strong = second;
  second->strong = first;
  keep(first.get());
}

SITE void weak_cycle() {
  auto first = std::make_shared<Node>();
  std::shared_ptr<Node> second(new Node);
  first->strong = second;
  second->weak = first;
  keep(first.get());
}

int main() {
  strong_cycle();
  weak_cycle();
  return 0;
}
