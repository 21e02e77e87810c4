// SPDX-License-Identifier: Apache-2.0
// lbctl: the command of Sluice. Wiring only; control/client does the work.
#include <exception>
#include <iostream>

#include "control/client/cli.h"

int main(int argc, char** argv) {
  try {
    return lb::client::run({argv + 1, argv + argc}, std::cout, std::cerr,
                           lb::client::wants_colour());
  } catch (const std::exception& error) {
    std::cerr << "lbctl: " << error.what() << '\n';
    return 1;
  }
}
