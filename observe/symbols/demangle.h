// SPDX-License-Identifier: Apache-2.0
// C++ names as people write them. Pure function.
#pragma once

#include <string>

namespace lb::observe {

/// `name` as C++ has it, "leak(int)" for "_Z4leaki"; any other name, and one over 4 KiB, as it is.
[[nodiscard]] std::string demangled(const char* name);

}  // namespace lb::observe
