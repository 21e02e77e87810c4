// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/demangle.h"

#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <memory>

namespace lb::observe {
namespace {

constexpr std::size_t kMangledBytesMax = 4096;

}  // namespace

std::string demangled(const char* name) {
  // A name without the prefix could be the code of a type: "i" is "int" to the library.
  if (std::strncmp(name, "_Z", 2) != 0 || ::strnlen(name, kMangledBytesMax) == kMangledBytesMax) {
    return name;
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  return text ? std::string(text.get()) : std::string(name);
}

}  // namespace lb::observe
