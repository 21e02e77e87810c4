// SPDX-License-Identifier: Apache-2.0
// MappingLedger: what of an address space is mapped, by which call, as intervals: munmap, mremap
// and mmap over another mapping may take parts. Fed with the events of
// bpf/observe_heap_mappings.bpf.h in their order. No kernel; one thread.
//
// Rule: the intervals of a space never overlap, and hold exactly what was mapped since it was seen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace lb::observe {

class MappingLedger {
 public:
  struct Range {
    std::uint64_t start = 0;
    std::uint64_t end = 0;  ///< behind it
  };
  /// Who mapped it.
  struct Origin {
    std::uint64_t stack = 0;
    std::uint64_t time_ns = 0;
    bool brk = false;
  };

  /// Lengths are rounded up to pages, as the kernel does; none is nothing.
  static Range range_of(std::uint64_t address, std::uint64_t bytes);

  /// What was there gives way.
  void map(std::uint32_t space, Range range, const Origin& origin);
  /// Takes the range out and remembers it for the thread.
  void begin_unmap(std::uint32_t space, std::uint32_t thread, Range range);
  /// When the thread's call is done; what it failed to unmap comes back.
  void end_unmap(std::uint32_t space, std::uint32_t thread, bool failed);
  /// Of a process that was not seen from its start: its heap ends here, and nobody is known for it.
  void know_break(std::uint32_t space, std::uint64_t end) { spaces_[space].break_end = end; }
  /// The program break: the heap is [start, end) now; what it grew by is of this origin.
  void set_break(std::uint32_t space, Range heap, const Origin& origin);

  /// fork: `to` begins as `from` is. Calls in progress are not those of the child.
  void copy(std::uint32_t from, std::uint32_t to);
  void forget(std::uint32_t space);

  /// What was mapped in all from a stack, whatever became of it.
  struct Total {
    std::uint64_t calls = 0;
    std::uint64_t bytes = 0;
  };
  using Totals = std::map<std::pair<std::uint64_t, bool>, Total>;  // by stack, and whether by brk
  [[nodiscard]] const Totals& totals(std::uint32_t space) const;

  void for_each(const std::function<void(std::uint32_t space, Range range, const Origin& origin)>&
                    each) const;

 private:
  using Piece = std::pair<Range, Origin>;
  struct Space {
    std::map<std::uint64_t, Piece> pieces;              // by start
    std::map<std::uint32_t, std::vector<Piece>> going;  // by thread
    std::uint64_t break_end = 0;
    Totals totals;
  };
  /// Takes everything inside the range out; pieces that reach over its ends are cut.
  static std::vector<Piece> cut_out(Space& space, Range range);

  std::map<std::uint32_t, Space> spaces_;
};

}  // namespace lb::observe
