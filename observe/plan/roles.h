// SPDX-License-Identifier: Apache-2.0
// What a function does to memory, by its name: the table that the planner knows allocators by.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lb::observe {

/// What a probed function is to a memory tracer. The arguments are those of the C function of that
/// name (after ProbePoint::first_argument).
enum class Role : std::uint8_t {
  Malloc,          ///< (size, ...) -> block
  Calloc,          ///< (count, size) -> block
  Realloc,         ///< (block, size, ...) -> block
  Reallocarray,    ///< (block, count, size) -> block
  Free,            ///< (block, ...)
  PosixMemalign,   ///< (&block, alignment, size) -> 0 or an error
  AlignedAlloc,    ///< (alignment, size) -> block
  Memalign,        ///< (alignment, size) -> block
  Valloc,          ///< (size) -> block
  Pvalloc,         ///< (size) -> block
  OperatorNew,     ///< (size, ...); entry only
  OperatorDelete,  ///< (block, ...); entry only; of those that do not call a Free function
  Mmap,            ///< (address, length, protection, flags, fd, offset) -> address
  Munmap,          ///< (address, length) -> 0 or -1
  Mremap,          ///< (old, old length, new length, flags, new) -> address
  Brk,             ///< (address) -> 0 or -1
  Sbrk,            ///< (increment) -> old break
  Dlopen,          ///< libraries have come or gone; entry only where the dynamic linker tells
};

struct RoleUse {
  std::string_view name;   ///< the C name, for messages
  bool returns;            ///< its result is needed
  std::uint8_t arguments;  ///< how many are read
};
[[nodiscard]] RoleUse use_of(Role role) noexcept;

/// The role of a function of this name, in the names of glibc, musl, libstdc++, libc++, jemalloc,
/// tcmalloc and mimalloc (also with their prefixes je_, tc_, mi_, __libc_).
[[nodiscard]] std::optional<Role> role_of(std::string_view name) noexcept;

/// The role of PREFIX + base as a wrapper is named: malloc and alloc, calloc, realloc, free, ...
[[nodiscard]] std::optional<Role> wrapper_role(std::string_view base) noexcept;

/// Forms of operator new that throw when there is no memory (all but those with std::nothrow).
[[nodiscard]] bool may_throw(std::string_view name) noexcept;

/// Functions that do not return: a path that calls one does not end in a return.
[[nodiscard]] bool never_returns(std::string_view name) noexcept;

/// Roles whose functions give a block out.
[[nodiscard]] bool allocates(Role role) noexcept;

}  // namespace lb::observe
