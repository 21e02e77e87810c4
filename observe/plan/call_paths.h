// SPDX-License-Identifier: Apache-2.0
// Whether a function comes by calls of other functions on its way: does this operator new call
// malloc, and always? Read from the code of the objects of a process, by direct calls and jumps and
// through the PLT. One thread; the files may be of any origin, so every walk is bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "observe/plan/code_files.h"
#include "observe/plan/elf_functions.h"

namespace lb::observe {

/// An object of a process and those of its functions that the planner knows by name.
struct LoadedObject {
  CodeFile file;
  ElfObject elf;
  std::vector<ElfFunction> functions;                      ///< ordered by address
  std::map<std::uint64_t, const ElfFunction*> by_address;  ///< into `functions`
};

/// What the paths through a function come by.
struct PathsTo {
  bool some = false;    ///< at least one path does
  bool all = false;     ///< every path that ends in a return does
  bool certain = true;  ///< false: there is code that could not be read, or too much of it
};

/// The walk; looks functions of other objects up by name.
class CallPaths {
 public:
  /// `objects` outlives this.
  explicit CallPaths(std::span<const LoadedObject> objects) : objects_(objects) {}
  /// Of the paths from the start of `function`, a function of `object`: which come by a call of, or
  /// a jump to, a function with a name that `wanted` takes.
  [[nodiscard]] PathsTo find(const LoadedObject& object, const ElfFunction& function,
                             const std::function<bool(std::string_view)>& wanted) const;
  /// Names of what a call or jump to `address` of `object` ends in: of the function there, or what
  /// the PLT stub there imports; none when it is not known.
  [[nodiscard]] static std::vector<std::string> names_at(const LoadedObject& object,
                                                         std::uint64_t address);

 private:
  struct Walk;
  std::span<const LoadedObject> objects_;
};

}  // namespace lb::observe
