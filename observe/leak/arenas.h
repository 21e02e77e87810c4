// SPDX-License-Identifier: Apache-2.0
// Arenas: mappings that an allocator made for the blocks it gives out, and what the dynamic linker
// mapped. They are told by their stacks and left out of what a program has mapped: the blocks of
// the ones are counted, the others are no leak. Pure functions.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "observe/report.h"

namespace lb::observe {

/// Whether a function of this name is an allocator's door: malloc, free, operator new, ..., with
/// the prefixes that libc gives its own names.
[[nodiscard]] bool is_allocator_function(std::string_view function);

/// Whether a frame is in one of `objects`, files that are allocators as a whole, or in such a
/// function.
[[nodiscard]] bool is_of_allocator(const Report& report, const Frame& frame,
                                   const std::set<std::string>& objects);

/// Takes rows of the kinds "mapping" and "brk" whose stack goes through an allocator out of the
/// Report and off the figure "mapped", and adds their bytes as "arenas", or as "loaded" where it
/// goes through the dynamic linker. `objects`: files that are allocators as a whole. REQUIRES: the
/// first dimension is kind, the first measure bytes; resolved.
void take_out_arenas(Report& report, const std::set<std::string>& objects);

}  // namespace lb::observe
