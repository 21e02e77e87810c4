// SPDX-License-Identifier: Apache-2.0
// `observe leak --tier pages` against a model: a child that makes random calls (mmap, munmap,
// mremap, madvise, mprotect, brk) and touches pages by four functions keeps the owner of each page
// itself; the tracer must count the same. Seeds are fixed; LB_LONG takes more.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "observe/resident/resident_tracer.h"
#include "tests/bpf/stepping_child.h"

namespace lb::observe {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPagesOfCall = 30;
constexpr int kCallsOfStep = 60;
constexpr int kSteps = 5;
constexpr int kOwners = 4;
constexpr int kMappers = 2;

// Four functions whose stacks differ.
template <int Owner>
[[gnu::noinline]] void touch(char* page) {
  *static_cast<volatile char*>(page) = Owner;
  asm volatile("");
}

/// Two that map. REQUIRES: `how` is MAP_FIXED or 0.
template <int Mapper>
[[gnu::noinline]] char* map_by(char* where, std::size_t bytes, int how) {
  void* area = mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | how, -1, 0);
  asm volatile("" : : "i"(Mapper));  // or both would be one function
  return area == MAP_FAILED ? nullptr : static_cast<char*>(area);
}
template <int Mapper>
[[gnu::noinline]] char* move_by(char* from, std::size_t bytes, std::size_t to_bytes, int how,
                                char* target) {
  void* area = mremap(from, bytes, to_bytes, how, target);
  asm volatile("" : : "i"(Mapper));
  return area == MAP_FAILED ? nullptr : static_cast<char*>(area);
}

/// What the child says of itself, in memory that both see.
struct Told {
  std::array<int, kOwners> touched;  // pages that are resident, by function
  std::array<int, kMappers> mapped;  // the same pages but those of the heap
  int calls;
};

/// Lives in the child.
class RandomCaller {
 public:
  /// The heap below the break that set_break() moves is large enough for all that this keeps.
  RandomCaller(std::uint32_t seed, Told* told) : random_(seed), told_(told) {
    constexpr int kHeapBytes = 8 << 20;
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);  // madvise would keep mappings from merging
    mallopt(M_MMAP_THRESHOLD, 2 * kHeapBytes);
    mallopt(M_TRIM_THRESHOLD, 4 * kHeapBytes);
    void* volatile room = malloc(kHeapBytes);
    free(room);
  }

  void step() {
    for (int i = 0; i < kCallsOfStep; ++i) call();
    told_->touched = {};
    told_->mapped = {};
    for (const auto& [page, owner] : owners_) {
      ++told_->touched.at(static_cast<std::size_t>(owner));
      const auto mapper = mapped_.find(page);
      if (mapper != mapped_.end()) ++told_->mapped.at(static_cast<std::size_t>(mapper->second));
    }
  }

 private:
  using Address = std::uintptr_t;
  struct Part {
    Address start = 0;
    std::size_t bytes = 0;
  };

  static char* at(Address address) { return std::bit_cast<char*>(address); }
  std::size_t some(std::size_t most) { return 1 + random_() % most; }
  /// The same number of pages.
  std::size_t odd(std::size_t bytes) { return bytes - random_() % 2 * (random_() % kPage); }
  std::size_t some_bytes() { return some(kPagesOfCall) * kPage; }

  void call() {
    ++told_->calls;
    switch (random_() % 12) {
      case 0:
      case 1:
        return map(nullptr, some_bytes(), 0);
      case 2:  // beside what is there: it merges
        return map(at(any_page() + some(2 * kPagesOfCall) * kPage), some_bytes(), 0);
      case 3: {
        const Part part = any_part();
        return map(at(part.start), part.bytes, MAP_FIXED);
      }
      case 4:
        return unmap(any_part());
      case 5: {
        const Part part = any_part();
        if (madvise(at(part.start), part.bytes, MADV_DONTNEED) == 0) forget(part);
        return;
      }
      case 6:
        return move(any_part(), some_bytes(), random_() % 2 == 0 ? MREMAP_MAYMOVE : 0, 0);
      case 7:
        return move(any_part(), some_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, any_page());
      case 8: {
        const Part part = any_part();
        (void)mprotect(at(part.start), part.bytes, PROT_NONE);  // splits, and merges again
        (void)mprotect(at(part.start), part.bytes, PROT_READ | PROT_WRITE);
        return;
      }
      case 9:
        return set_break(some(2 * kPagesOfCall));
      default:
        return touch_part(any_part());
    }
  }

  Address any_page() {
    if (mapped_.empty()) map(nullptr, some_bytes(), 0);
    return std::next(mapped_.begin(), static_cast<std::ptrdiff_t>(random_() % mapped_.size()))
        ->first;
  }
  Part any_part() {
    Part part{any_page(), kPage};
    const std::size_t most = some_bytes();
    while (part.bytes < most && mapped_.contains(part.start + part.bytes)) part.bytes += kPage;
    return part;
  }
  /// mremap takes what is of one mapping.
  static Part within_one(Part part) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      char* rest = nullptr;
      const Address start = std::strtoull(line.c_str(), &rest, 16);
      const Address end = std::strtoull(rest + 1, nullptr, 16);
      if (start <= part.start && part.start < end) {
        part.bytes = std::min(part.bytes, end - part.start);
      }
    }
    return part;
  }

  void add(Address start, std::size_t bytes, int mapper) {
    for (std::size_t i = 0; i < bytes; i += kPage) mapped_[start + i] = mapper;
  }
  void forget(Part part) {
    owners_.erase(owners_.lower_bound(part.start), owners_.lower_bound(part.start + part.bytes));
  }
  void remove(Part part) {
    forget(part);
    mapped_.erase(mapped_.lower_bound(part.start), mapped_.lower_bound(part.start + part.bytes));
  }

  void map(char* where, std::size_t bytes, int how) {
    const int mapper = static_cast<int>(random_() % kMappers);
    char* area = mapper == 0 ? map_by<0>(where, bytes, how) : map_by<1>(where, bytes, how);
    if (area == nullptr) return;
    const auto start = reinterpret_cast<Address>(area);
    forget({start, bytes});
    add(start, bytes, mapper);
  }

  void unmap(Part part) {
    if (munmap(at(part.start), odd(part.bytes)) == 0) remove(part);
  }

  void move(Part from, std::size_t bytes, int how, Address target) {
    from = within_one(from);
    const bool overlaps = target < from.start + from.bytes && from.start < target + bytes;
    // What is there must be ours.
    for (std::size_t i = 0; (how & MREMAP_FIXED) != 0 && i < bytes; i += kPage) {
      if (overlaps || !mapped_.contains(target + i)) return;
    }
    const int mapper = static_cast<int>(random_() % kMappers);
    char* to = mapper == 0
                   ? move_by<0>(at(from.start), odd(from.bytes), odd(bytes), how, at(target))
                   : move_by<1>(at(from.start), odd(from.bytes), odd(bytes), how, at(target));
    if (to == nullptr) return;
    const auto start = reinterpret_cast<Address>(to);
    std::map<Address, int> owners;
    std::map<Address, int> mappers;
    for (std::size_t i = 0; i < std::min(bytes, from.bytes); i += kPage) {
      const auto owner = owners_.find(from.start + i);
      if (owner != owners_.end()) owners[start + i] = owner->second;
      // What stays where it is was mapped by another.
      if (start == from.start) mappers[start + i] = mapped_.at(start + i);
    }
    remove(from);
    remove({start, bytes});
    owners_.merge(owners);
    mapped_.merge(mappers);
    for (std::size_t i = 0; i < bytes; i += kPage) mapped_.emplace(start + i, mapper);
  }

  void set_break(std::size_t pages) {
    if (break_start_ == 0) {
      break_start_ = (reinterpret_cast<Address>(sbrk(0)) + kPage - 1) / kPage * kPage;
      break_end_ = break_start_;
    }
    const Address end = break_start_ + pages * kPage;
    if (brk(at(end)) != 0) return;
    if (end < break_end_) forget({end, break_end_ - end});
    break_end_ = end;
    touch_part({break_start_, some(pages) * kPage});
  }

  void touch_part(Part part) {
    const int owner = static_cast<int>(random_() % kOwners);
    for (std::size_t i = 0; i < part.bytes; i += kPage) {
      const Address page = part.start + i;
      switch (owner) {
        case 0:
          touch<0>(at(page));
          break;
        case 1:
          touch<1>(at(page));
          break;
        case 2:
          touch<2>(at(page));
          break;
        default:
          touch<3>(at(page));
      }
      owners_.emplace(page, owner);
    }
  }

  std::mt19937 random_;
  Told* told_;
  std::map<Address, int> mapped_;  // and by whom; not the heap
  std::map<Address, int> owners_;  // of pages that are resident
  Address break_start_ = 0;
  Address break_end_ = 0;
};

/// The parameter: whether changes of mappings are seen by system calls.
class ObserveResidentModel : public testing::TestWithParam<bool> {
 protected:
  /// N of "name<N>" in the text; nothing when it is not there.
  static std::optional<std::size_t> number_in(const std::string& text, const std::string& name) {
    const auto found = text.find(name + "<");
    if (found == std::string::npos) return std::nullopt;
    return static_cast<std::size_t>(text[found + name.size() + 1] - '0');
  }
  static Told told_by(const Report& report) {
    Told told{};
    for (const auto& row : report.rows) {
      const int pages = static_cast<int>(row.values[1].value);
      for (const char* name : {"map_by", "move_by"}) {
        if (auto mapper = number_in(row.labels[2], name)) told.mapped.at(*mapper) += pages;
      }
      if (row.stack == kNone) continue;
      for (const auto frame : report.stacks[row.stack].frames) {
        for (const auto& place : report.frames[frame].places) {
          if (auto owner = number_in(place.function, "touch")) told.touched.at(*owner) += pages;
        }
      }
    }
    return told;
  }
};

TEST_P(ObserveResidentModel, RandomCallsLeaveEachPageItsStackAndItsCaller) {
  const std::uint32_t seeds = std::getenv("LB_LONG") != nullptr ? 500 : 8;
  void* shared = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* told = static_cast<Told*>(shared);
  int pages = 0;
  Symboliser symbols;
  for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
    std::optional<RandomCaller> caller;
    test::SteppingChild child([&](int /*step*/) {
      if (!caller) caller.emplace(seed, told);
      caller->step();
    });
    ResidentOptions options;
    options.targets.everything = false;
    options.targets.pids = {child.pid()};
    options.by_system_calls = GetParam();
    ResidentTracer tracer(options, symbols);
    const auto attached = tracer.attach();
    ASSERT_TRUE(attached) << attached.error().message;
    for (int step = 0; step < kSteps; ++step) {
      ASSERT_NO_FATAL_FAILURE(child.step());
      auto report = tracer.read();
      ASSERT_TRUE(report) << report.error().message;
      ASSERT_TRUE(symbols.resolve(*report));
      ASSERT_EQ(report->honesty.lost, 0U);
      tracer.refine(*report);
      const Told found = told_by(*report);
      ASSERT_EQ(found.touched, told->touched) << "seed " << seed << ", step " << step;
      ASSERT_EQ(found.mapped, told->mapped) << "seed " << seed << ", step " << step;
      for (const int each : told->touched) pages += each;
    }
  }
  EXPECT_GT(pages, static_cast<int>(seeds) * kSteps * 10) << "there was little to compare";
  munmap(shared, kPage);
}

INSTANTIATE_TEST_SUITE_P(BySystemCalls, ObserveResidentModel, testing::Bool(),
                         [](const auto& each) {
                           return each.param ? std::string("SystemCalls") : std::string("Changes");
                         });

}  // namespace
}  // namespace lb::observe
