// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/call_paths.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "observe/plan/roles.h"
#include "observe/plan/x86_instruction.h"

namespace lb::observe {
namespace {

constexpr unsigned kDepthMax = 4;
constexpr std::size_t kInstructionsMax = 8192;

std::optional<std::uint64_t> find_named(const LoadedObject& object, const std::string& name) {
  for (const ElfFunction& function : object.functions) {
    if (std::ranges::find(function.names, name) != function.names.end()) return function.address;
  }
  return std::nullopt;
}

/// endbr64, which stands before the jump of a PLT stub.
bool is_endbr64(std::span<const std::uint8_t> code) {
  return code.size() >= 4 && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e &&
         code[3] == 0xfa;
}

std::vector<std::string> import_names(const ElfObject& elf, std::uint64_t slot) {
  const std::string_view name = elf.import_at(slot);
  return name.empty() ? std::vector<std::string>{} : std::vector{std::string(name)};
}

}  // namespace

std::vector<std::string> CallPaths::names_at(const LoadedObject& object, std::uint64_t address) {
  if (const auto at = object.by_address.find(address); at != object.by_address.end()) {
    return at->second->names;
  }
  auto code = object.elf.peek(address);
  if (is_endbr64(code)) {
    address += 4;
    code = object.elf.peek(address);
  }
  const auto stub = decode(code);
  if (!stub || stub->flow != Flow::IndirectJump || !stub->slot) return {};
  return import_names(object.elf, address + static_cast<std::uint64_t>(*stub->slot));
}

/// One question; the instructions of all functions that it enters are counted together.
struct CallPaths::Walk {
  std::span<const LoadedObject> objects;
  const std::function<bool(std::string_view)>& wanted;
  std::size_t instructions = 0;

  /// Where a path stands after a call or jump to a function.
  enum class After : std::uint8_t { Reached, Ended, Passed };

  /// The function itself, or that of a name: the object's own first. (Where another object's comes
  /// first in fact, that one is a function to probe in its own right.)
  PathsTo enter(const LoadedObject& object, std::optional<std::uint64_t> address,
                const std::vector<std::string>& names, unsigned depth) {
    if (depth >= kDepthMax) return {.certain = false};
    if (address && (object.by_address.contains(*address) || names.empty())) {
      return from(object, *address, depth + 1);
    }
    if (const auto own = find_named(object, names.front())) return from(object, *own, depth + 1);
    for (const LoadedObject& other : objects) {
      if (const auto there = find_named(other, names.front()))
        return from(other, *there, depth + 1);
    }
    return {};  // a function that the planner does not know by name allocates nothing
  }

  After call(const LoadedObject& object, std::optional<std::uint64_t> address,
             const std::vector<std::string>& names, unsigned depth, PathsTo& result) {
    if (std::ranges::any_of(names, wanted)) {
      result.some = true;
      return After::Reached;
    }
    if (std::ranges::any_of(names, never_returns)) return After::Ended;
    if (!address && names.empty()) return After::Passed;  // through a register
    const PathsTo inner = enter(object, address, names, depth);
    result.some = result.some || inner.some;
    result.certain = result.certain && inner.certain;
    return inner.all ? After::Reached : After::Passed;
  }

  PathsTo from(const LoadedObject& object, std::uint64_t start, unsigned depth) {
    const auto known = object.by_address.find(start);
    const std::uint64_t size = known == object.by_address.end() ? 0 : known->second->size;
    PathsTo result;
    bool passes = false;  // some path ends in a return and was not reached
    std::set<std::uint64_t> seen;
    std::vector<std::uint64_t> waiting{start};
    while (!waiting.empty()) {
      std::uint64_t at = waiting.back();
      waiting.pop_back();
      while (seen.insert(at).second) {
        const auto instruction = decode(object.elf.peek(at));
        if (!instruction || ++instructions > kInstructionsMax) {
          result.certain = false;
          break;
        }
        if (!step(object, *instruction, at, depth, result, passes, waiting)) break;
        at += instruction->length;
        // Behind the last call of a function there is nothing to return to.
        if (size != 0 && at == start + size) break;
      }
    }
    result.all = result.some && !passes && result.certain;
    return result;
  }

  /// One instruction of a path. False: the path does not go on behind it.
  bool step(const LoadedObject& object, const Instruction& instruction, std::uint64_t at,
            unsigned depth, PathsTo& result, bool& passes, std::vector<std::uint64_t>& waiting) {
    std::optional<std::uint64_t> address;
    std::vector<std::string> names;
    if (instruction.slot) {
      names = import_names(object.elf, at + static_cast<std::uint64_t>(*instruction.slot));
    }
    const std::uint64_t target = at + static_cast<std::uint64_t>(instruction.target);
    switch (instruction.flow) {
      case Flow::Next:
        return true;
      case Flow::Stop:
        return false;
      case Flow::Return:
        passes = true;
        return false;
      case Flow::Call:
        names = names_at(object, target);
        address = target;
        [[fallthrough]];
      case Flow::IndirectCall:
        return call(object, address, names, depth, result) == After::Passed;
      case Flow::Branch:
        waiting.push_back(target);
        return true;
      case Flow::Jump:
        names = names_at(object, target);
        if (names.empty()) {
          waiting.push_back(target);
          return false;
        }
        address = target;
        [[fallthrough]];
      case Flow::IndirectJump:
        if (names.empty()) result.certain = false;
        passes = call(object, address, names, depth, result) == After::Passed || passes;
        return false;
    }
    return false;
  }
};

PathsTo CallPaths::find(const LoadedObject& object, const ElfFunction& function,
                        const std::function<bool(std::string_view)>& wanted) const {
  Walk walk{.objects = objects_, .wanted = wanted};
  return walk.from(object, function.address, 0);
}

}  // namespace lb::observe
