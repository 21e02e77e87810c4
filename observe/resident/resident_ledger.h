// SPDX-License-Identifier: Apache-2.0
// ResidentLedger: which stack touched each page of an address space last, and which call mapped it.
// Fed with the events of bpf/observe_resident.bpf.c in their order. What is resident it does not
// know: that is asked of the kernel (resident_look.h). No kernel; one thread.
//
// Rules:
//  - A touch holds for its page until the next one, or until the page is mapped anew, moved away,
//    given back (munmap, madvise) or cut off by brk; fork copies.
//  - Where the kernel merges a new mapping with its neighbours, the new part is what was not there
//    before, if that is one piece of as many bytes as were asked for. Else all of the merged
//    mapping loses its stacks and callers.
//  - What may have failed (munmap, told before it is done) takes touches, and not what is of
//  before.
//  - Pages of before are those that were resident when the space was first seen and have been ever
//    since, as far as faults tell: one on a page that is not there ends it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "observe/resident/interval_map.h"

namespace lb::observe {

/// How a page came to its stack.
enum class Fault : std::uint8_t {
  User,    ///< the program touched it
  Kernel,  ///< a system call copied to or from it
  Lost,    ///< there was an event, and it was lost
  None,    ///< no event: brought in with another page, or by the kernel for itself
};

struct Touch {
  std::uint64_t stack = 0;  ///< 0: not known
  Fault fault = Fault::None;

  auto operator<=>(const Touch&) const = default;
};

/// The call that mapped a page.
struct MappedBy {
  std::uint64_t stack = 0;
  bool known = false;  ///< false: before we looked, or by the kernel
  bool brk = false;

  auto operator<=>(const MappedBy&) const = default;
};

class ResidentLedger {
 public:
  struct Range {
    std::uint64_t start = 0;  ///< bytes, as everything here
    std::uint64_t end = 0;    ///< behind it

    bool operator==(const Range&) const = default;
  };
  /// Pages of one kind next to each other.
  struct Run {
    Range range;
    Touch touch;
    MappedBy mapped;
    bool before = false;
  };
  struct Faults {
    std::uint64_t count = 0;
    std::uint64_t address = 0;  ///< of the last one
  };
  using FaultCounts = std::map<std::pair<Touch, MappedBy>, Faults>;

  /// A space of which nothing is known yet; `before` is resident, `mapped` is mapped, the heap ends
  /// at `break_end` (0: there is none).
  void begin(std::uint32_t space, std::span<const Range> before, std::span<const Range> mapped,
             std::uint64_t break_end);
  /// fork: `to` begins as `from` is; faults are counted anew.
  void copy(std::uint32_t from, std::uint32_t to);
  void forget(std::uint32_t space) { spaces_.erase(space); }
  /// Its pages have gone, its faults are told still.
  void end(std::uint32_t space);

  /// `present`: the page was there already.
  void touch(std::uint32_t space, std::uint64_t address, Touch touch, bool present);
  /// mmap: whatever was there has gone.
  void map(std::uint32_t space, Range range, MappedBy by);
  /// mremap: pages of `from` are at `to` now, as far as there is room; what is above is new.
  void move(std::uint32_t space, Range from, Range to, MappedBy by);
  /// map() and move() for a new part of `bytes`, whole pages, somewhere in a mapping that is now
  /// `whole`.
  void map_within(std::uint32_t space, Range whole, std::uint64_t bytes, MappedBy by);
  void move_within(std::uint32_t space, Range from, Range whole, std::uint64_t bytes, MappedBy by);
  /// munmap; it may yet fail.
  void unmap(std::uint32_t space, Range range);
  /// What is mapped, where that was lost.
  void know_mappings(std::uint32_t space, std::span<const Range> mapped);
  /// madvise: these pages have gone.
  void give_back(std::uint32_t space, Range range);
  /// Of before is only what is in `ranges`, too. These are by address and apart.
  void keep_before(std::uint32_t space, std::span<const Range> ranges);
  /// brk: the heap is `heap` now.
  void set_break(std::uint32_t space, Range heap, MappedBy by);
  /// A touch of this page was lost.
  void lose(std::uint32_t space, std::uint64_t address);
  /// Anything may have been lost: no touch and no mapping can be believed any more.
  void lose_all();

  /// Calls `each` with the runs of a range, in order, without holes. `huge`: these pages are of
  /// huge pages; one that nobody touched belongs to the touch of its huge page, where there is one
  /// alone.
  template <class Each>
  void walk(std::uint32_t space, Range range, bool huge, Each each) const;
  [[nodiscard]] const FaultCounts& faults(std::uint32_t space) const;
  /// Bytes that were resident before, and may be still.
  [[nodiscard]] std::uint64_t bytes_before(std::uint32_t space) const;
  [[nodiscard]] MappedBy mapped_by(std::uint32_t space, std::uint64_t address) const;

  static constexpr std::uint64_t kPageBytes = 4096;
  static constexpr std::uint64_t kHugeBytes = 2U << 20;
  static Range pages_of(std::uint64_t address, std::uint64_t bytes);

 private:
  struct Before {
    bool operator==(const Before&) const = default;
  };
  struct Space {
    IntervalMap<Touch> touches;
    IntervalMap<MappedBy> mappings;  // all that is mapped, as far as is known
    bool mappings_lost = false;      // more may be mapped
    IntervalMap<Before> before;
    std::uint64_t break_end = 0;
    bool break_lost = false;  // break_end may be an old one
    FaultCounts faults;
  };
  [[nodiscard]] const Space& find(std::uint32_t space) const;
  static void forget_pages(Space& space, Range range);
  /// Pieces of the range that are not mapped.
  [[nodiscard]] static std::vector<Range> holes(const Space& space, Range range);
  /// Neither stacks nor callers of what is there are known.
  static void doubt(Space& space, Range range);
  /// The only touch of the huge page around the address.
  [[nodiscard]] static Touch touch_of_huge(const Space& space, std::uint64_t address);

  std::map<std::uint32_t, Space> spaces_;
};

template <class Each>
void ResidentLedger::walk(std::uint32_t space, Range range, bool huge, Each each) const {
  const Space& of_space = find(space);
  for (std::uint64_t at = range.start; at < range.end;) {
    std::uint64_t end = of_space.touches.same_until(at, range.end);
    end = of_space.mappings.same_until(at, end);
    end = of_space.before.same_until(at, end);
    Run run{{at, end}, {}, {}, of_space.before.find(at) != nullptr};
    if (const auto* mapped = of_space.mappings.find(at)) run.mapped = mapped->value;
    if (const auto* touched = of_space.touches.find(at)) {
      run.touch = touched->value;
    } else if (huge) {
      run.range.end = std::min(end, (at | (kHugeBytes - 1)) + 1);
      run.touch = touch_of_huge(of_space, at);
    }
    at = run.range.end;
    each(run);
  }
}

}  // namespace lb::observe
