// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/roles.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lb::observe {
namespace {

using Entry = std::pair<std::string_view, Role>;

constexpr auto kNames = std::to_array<Entry>({
    {"malloc", Role::Malloc},
    {"calloc", Role::Calloc},
    {"realloc", Role::Realloc},
    {"reallocarray", Role::Reallocarray},
    {"free", Role::Free},
    {"cfree", Role::Free},
    {"free_sized", Role::Free},
    {"free_aligned_sized", Role::Free},
    {"posix_memalign", Role::PosixMemalign},
    {"aligned_alloc", Role::AlignedAlloc},
    {"memalign", Role::Memalign},
    {"valloc", Role::Valloc},
    {"pvalloc", Role::Pvalloc},
    {"mmap", Role::Mmap},
    {"mmap64", Role::Mmap},
    {"munmap", Role::Munmap},
    {"mremap", Role::Mremap},
    {"brk", Role::Brk},
    {"sbrk", Role::Sbrk},
    {"_dl_debug_state", Role::Dlopen},
    // jemalloc's own interface: size or block first.
    {"mallocx", Role::Malloc},
    {"rallocx", Role::Realloc},
    {"dallocx", Role::Free},
    {"sdallocx", Role::Free},
});

// With their prefix only; size or block first.
constexpr auto kPrefixed = std::to_array<Entry>({
    {"mi_zalloc", Role::Malloc},           {"mi_malloc_small", Role::Malloc},
    {"mi_zalloc_small", Role::Malloc},     {"mi_malloc_aligned", Role::Malloc},
    {"mi_zalloc_aligned", Role::Malloc},   {"mi_mallocn", Role::Calloc},
    {"mi_reallocn", Role::Reallocarray},   {"mi_free_size", Role::Free},
    {"mi_free_aligned", Role::Free},       {"mi_free_size_aligned", Role::Free},
    {"mi_new", Role::OperatorNew},         {"mi_new_aligned", Role::OperatorNew},
    {"mi_new_nothrow", Role::OperatorNew}, {"mi_new_aligned_nothrow", Role::OperatorNew},
    {"tc_new", Role::OperatorNew},         {"tc_newarray", Role::OperatorNew},
    {"tc_new_aligned", Role::OperatorNew}, {"tc_newarray_aligned", Role::OperatorNew},
    {"tc_new_nothrow", Role::OperatorNew}, {"tc_newarray_nothrow", Role::OperatorNew},
});

constexpr auto kWrappers = std::to_array<Entry>({
    {"malloc", Role::Malloc},
    {"alloc", Role::Malloc},
    {"calloc", Role::Calloc},
    {"realloc", Role::Realloc},
    {"reallocarray", Role::Reallocarray},
    {"free", Role::Free},
    {"dealloc", Role::Free},
    {"trymalloc", Role::Malloc},
    {"trycalloc", Role::Calloc},
    {"tryrealloc", Role::Realloc},
    {"malloc_usable", Role::Malloc},
    {"realloc_usable", Role::Realloc},
    {"free_usable", Role::Free},
    {"memalign", Role::Memalign},
    {"aligned_alloc", Role::AlignedAlloc},
});

constexpr auto kPrefixes = std::to_array<std::string_view>({"je_", "tc_", "mi_", "__libc_"});

constexpr auto kNoReturn = std::to_array<std::string_view>({
    "__cxa_throw",
    "__cxa_rethrow",
    "__cxa_bad_cast",
    "__cxa_call_terminate",
    "_Unwind_Resume",
    "_ZSt9terminatev",
    "_ZSt17__throw_bad_allocv",
    "__stack_chk_fail",
    "__cxa_call_unexpected",
    "abort",
    "exit",
    "_exit",
    "__assert_fail",
});

template <class Table>
std::optional<Role> find_in(const Table& table, std::string_view name) {
  const auto at = std::ranges::find(table, name, &Entry::first);
  return at == table.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace

RoleUse use_of(Role role) noexcept {
  switch (role) {
    case Role::Malloc:
      return {"malloc", true, 1};
    case Role::Calloc:
      return {"calloc", true, 2};
    case Role::Realloc:
      return {"realloc", true, 2};
    case Role::Reallocarray:
      return {"reallocarray", true, 3};
    case Role::Free:
      return {"free", false, 1};
    case Role::PosixMemalign:
      return {"posix_memalign", true, 3};
    case Role::AlignedAlloc:
      return {"aligned_alloc", true, 2};
    case Role::Memalign:
      return {"memalign", true, 2};
    case Role::Valloc:
      return {"valloc", true, 1};
    case Role::Pvalloc:
      return {"pvalloc", true, 1};
    case Role::OperatorNew:
      return {"operator new", false, 1};
    case Role::OperatorDelete:
      return {"operator delete", false, 1};
    case Role::Mmap:
      return {"mmap", true, 6};
    case Role::Munmap:
      return {"munmap", true, 2};
    case Role::Mremap:
      return {"mremap", true, 5};
    case Role::Brk:
      return {"brk", true, 1};
    case Role::Sbrk:
      return {"sbrk", true, 1};
    case Role::Dlopen:
      return {"dlopen", false, 0};
  }
  return {"", false, 0};
}

std::optional<Role> role_of(std::string_view name) noexcept {
  if (name.starts_with("_Znw") || name.starts_with("_Zna")) return Role::OperatorNew;
  if (name.starts_with("_Zdl") || name.starts_with("_Zda")) return Role::OperatorDelete;
  if (name.starts_with("tc_delete")) return Role::OperatorDelete;
  if (const auto role = find_in(kPrefixed, name)) return role;
  for (const std::string_view prefix : kPrefixes) {
    if (name.starts_with(prefix)) return find_in(kNames, name.substr(prefix.size()));
  }
  return find_in(kNames, name);
}

std::optional<Role> wrapper_role(std::string_view base) noexcept {
  return find_in(kWrappers, base);
}

bool may_throw(std::string_view name) noexcept {
  return role_of(name) == Role::OperatorNew && name.find("nothrow") == std::string_view::npos;
}

bool never_returns(std::string_view name) noexcept {
  return std::ranges::find(kNoReturn, name) != kNoReturn.end();
}

bool allocates(Role role) noexcept {
  switch (role) {
    case Role::Malloc:
    case Role::Calloc:
    case Role::Realloc:
    case Role::Reallocarray:
    case Role::PosixMemalign:
    case Role::AlignedAlloc:
    case Role::Memalign:
    case Role::Valloc:
    case Role::Pvalloc:
      return true;
    default:
      return false;
  }
}

}  // namespace lb::observe
