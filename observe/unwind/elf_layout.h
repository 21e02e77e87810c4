// SPDX-License-Identifier: Apache-2.0
// ElfLayout: what the unwinder asks of an ELF object: where its segments are, and where .eh_frame
// is. Reads through a function, so a file is never read as a whole; the bytes are untrusted. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/result.h"
#include "observe/unwind/eh_frame.h"

namespace lb::observe {

/// Fills all of `into` from that offset of an object; false: it cannot.
using ReadAt = std::function<bool(std::uint64_t offset, std::span<std::byte> into)>;

/// Reads from an object in memory. The bytes outlive the function.
[[nodiscard]] ReadAt read_from(std::span<const std::byte> image);

struct ElfLayout {
  struct Segment {
    std::uint64_t offset = 0;   ///< in the file
    std::uint64_t address = 0;  ///< as the object's own
    std::uint64_t bytes = 0;    ///< that the file has
  };
  struct Section {
    std::uint64_t offset = 0;
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    bool whole = true;  ///< as in EhFrame
  };
  bool x86_64 = false;
  std::uint64_t base = 0;         ///< the lowest address of a segment, rounded down to a page
  std::uint64_t entry = 0;        ///< where a process begins to run it; 0: nowhere
  std::vector<Segment> segments;  ///< PT_LOAD
  std::optional<Section> eh_frame;

  /// Errors: EINVAL: not an ELF object of 64 bits, little-endian, or its tables lie outside of it.
  [[nodiscard]] static Result<ElfLayout> read(const ReadAt& object);

  /// What to take from an address in a mapping that begins at `start` with the file's byte
  /// `offset`, to get what a row's pc is compared with. Nothing: no segment holds that byte.
  [[nodiscard]] std::optional<std::uint64_t> bias(std::uint64_t start, std::uint64_t offset) const;
};

/// The table of an object; without rows where it has no .eh_frame, or is of another machine. Stacks
/// end at its entry, also where .eh_frame says nothing of that (the dynamic linker's).
/// Errors: as ElfLayout::read; EFBIG: .eh_frame is over 128 MiB.
[[nodiscard]] Result<UnwindTable> compile_object(const ReadAt& object, const ElfLayout& layout);

}  // namespace lb::observe
