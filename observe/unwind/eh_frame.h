// SPDX-License-Identifier: Apache-2.0
// The .eh_frame section of an x86-64 object, compiled into the rows that the kernel walks user
// stacks by (bpf/observe_unwind.h). Pure; the bytes are untrusted: an entry that cannot be read is
// counted and left out, so its function has no row and ends a stack there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bpf/observe_unwind.h"

namespace lb::observe {

/// Where a section is: its bytes, and its addresses as the object's own (ELF virtual addresses).
struct EhFrame {
  std::span<const std::byte> bytes;
  std::uint64_t address = 0;
  std::uint64_t base = 0;  ///< the object's lowest address; a row's pc counts from there
  /// The bytes end where the section does; otherwise it ends at its first empty entry.
  bool whole = true;
};

struct UnwindTable {
  /// Sorted by pc, no two alike; the first has the pc 0. Empty: no function.
  std::vector<observe_unwind_row> rows;
  std::size_t functions = 0;
  std::size_t refused = 0;  ///< entries that could not be read, or lie out of 4 GiB
};

/// Rows beyond what a kernel table holds (8 million) are left out, counted as refused functions.
/// A gap of less than 16 bytes between two functions (padding) gets the rule of the first.
[[nodiscard]] UnwindTable compile_eh_frame(const EhFrame& section);

}  // namespace lb::observe
