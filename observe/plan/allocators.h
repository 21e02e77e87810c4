// SPDX-License-Identifier: Apache-2.0
// Which functions of a process give memory out and take it back, and where to probe them. Looks at
// the symbols of the objects that the process has mapped, never at their file names. One thread;
// called at attach and when objects were added; attaches nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/plan/code_files.h"
#include "observe/plan/entry_block.h"
#include "observe/plan/roles.h"

namespace lb::observe {

/// One `--alloc`: more functions to look for.
struct AllocOption {
  std::string path;    ///< an object file with functions of the usual names; or empty
  std::string prefix;  ///< of wrappers: PREFIXmalloc, PREFIXalloc, PREFIXfree, ...; or empty
  std::uint8_t first_argument = 0;  ///< arguments that stand before those of the C function

  /// "/lib/libpool.so", "z" or "zmalloc" (for zmalloc, zfree, ...), "pool_+1" (for
  /// pool_alloc(pool, size), pool_free(pool, block)). Errors: EINVAL.
  [[nodiscard]] static Result<AllocOption> parse(std::string_view text);
};

struct AllocatorOptions {
  bool mappings = true;  ///< mmap, munmap, mremap, brk, sbrk
  bool loading = true;   ///< the place where the dynamic linker tells of new libraries
  /// No allocator, and none of an --alloc PREFIX, is a note: its libraries may be yet to come.
  bool may_have_none = false;
  bool tag_operator_new = false;  ///< an entry probe on operator new also where malloc shows it
  std::vector<AllocOption> alloc;
};

/// One function to probe.
struct ProbePoint {
  CodeFile file;
  std::vector<std::string> names;  ///< of the function, aliases too; those of wrappers as found
  Role role = Role::Malloc;
  std::uint64_t function_offset = 0;  ///< of its first instruction, in the file
  ProbeSite site;                     ///< within the function
  bool returns = false;               ///< its return is probed too
  std::uint8_t first_argument = 0;
  /// An operator new whose blocks no probe shows: only its calls can be counted.
  bool unseen = false;

  [[nodiscard]] std::uint64_t offset() const { return function_offset + site.offset; }
};

/// An allocator that was recognised.
struct Allocator {
  std::string shown;  ///< the object that has it
  std::string kind;   ///< "glibc", "musl", "jemalloc", "tcmalloc", "mimalloc", "libstdc++", ...
};

struct AllocatorPlan {
  std::vector<ProbePoint> points;  ///< no two at the same place of a file
  std::vector<Allocator> allocators;
  std::vector<std::string> refusals;  ///< functions that will not be probed though they matter
  std::vector<std::string> notes;     ///< files that could not be read, functions left to others
};

/// Rules: aliases once; a function that may throw has no return probe: an operator new that always
/// comes by malloc is left to malloc, any other is counted at its entry and named in `refusals`;
/// an operator delete that comes by free is left to free; a function that only jumps to another of
/// the same role is left to that. Errors: ENOENT: no allocator function in any of the files (static
/// and stripped?), or a --alloc that names nothing; ENOEXEC: its PATH is no library.
[[nodiscard]] Result<AllocatorPlan> find_allocators(std::span<const CodeFile> files,
                                                    const AllocatorOptions& options);

}  // namespace lb::observe
