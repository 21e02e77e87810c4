// SPDX-License-Identifier: Apache-2.0
// `observe leak --tier pages` in the kernel: a child whose page faults are known exactly, function
// by function, and what becomes of them by munmap, madvise, mremap, brk, fork, exec and exit;
// against pagemap and /proc/PID/status. The child is this program, forked; it works step by step as
// it is told.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include "dataplane/base/fd.h"
#include "observe/resident/resident_tracer.h"
#include "tests/bpf/stepping_child.h"
#include "tests/support/eventually.h"

namespace lb::observe {
namespace {

constexpr std::size_t kPage = 4096;

// Two functions whose stacks differ, and one that maps.
__attribute__((noinline)) void touch_first(char* area, std::size_t pages) {
  for (std::size_t i = 0; i < pages; ++i) static_cast<volatile char*>(area)[i * kPage] = 1;
  asm volatile("");
}
__attribute__((noinline)) void touch_second(char* area, std::size_t pages) {
  for (std::size_t i = 0; i < pages; ++i) static_cast<volatile char*>(area)[i * kPage] = 2;
  asm volatile("");
}
__attribute__((noinline)) char* map_pages(std::size_t pages) {
  void* area =
      mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) _exit(3);
  (void)madvise(area, pages * kPage, MADV_NOHUGEPAGE);
  return static_cast<char*>(area);
}

/// Too small for huge pages, so that madvise need not keep it from merging.
__attribute__((noinline)) char* map_small(std::size_t pages) {
  void* area =
      mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) _exit(3);
  return static_cast<char*>(area);
}
__attribute__((noinline)) char* fill_hole(char* at, std::size_t pages, int how) {
  void* area =
      mmap(at, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | how, -1, 0);
  return area == MAP_FAILED ? nullptr : static_cast<char*>(area);
}

using Worker = test::SteppingChild;

/// The parameter: whether changes of mappings are seen by system calls.
class ObserveResident : public testing::TestWithParam<bool> {
 protected:
  void attach(std::uint32_t pid) {
    ResidentOptions options;
    options.targets.everything = false;
    options.targets.pids = {pid};
    options.targets.follow_children = true;
    options.by_system_calls = GetParam();
    tracer_.emplace(options, symbols_);
    const auto attached = tracer_->attach();
    ASSERT_TRUE(attached) << attached.error().message;
  }
  Report report() {
    auto read = tracer_->read();
    EXPECT_TRUE(read) << read.error().message;
    if (!read) return {};
    EXPECT_TRUE(symbols_.resolve(*read));
    tracer_->refine(*read);
    return std::move(*read);
  }
  static bool goes_through(const Report& report, const Row& row, const std::string& function) {
    if (row.stack == kNone) return false;
    return std::ranges::any_of(report.stacks[row.stack].frames, [&](std::uint32_t frame) {
      return std::ranges::any_of(report.frames[frame].places, [&](const Place& place) {
        return place.function.find(function) != std::string::npos;
      });
    });
  }
  /// Of rows whose stack goes through the function, of this process ("": all).
  static double pages_of(const Report& report, const std::string& function,
                         const std::string& process = "") {
    double pages = 0;
    for (const auto& row : report.rows) {
      if (row.labels[1].find(process) == std::string::npos) continue;
      if (goes_through(report, row, function)) pages += row.values[1].value;
    }
    return pages;
  }
  static double figure(const Report& report, const std::string& name) {
    const auto found = std::ranges::find(report.figures, name, &Figure::name);
    EXPECT_NE(found, report.figures.end()) << name;
    return found == report.figures.end() ? -1 : found->value.value;
  }
  static double sum_of_rows(const Report& report) {
    double sum = 0;
    for (const auto& row : report.rows) sum += row.values[0].value;
    return sum;
  }

  Symboliser symbols_;
  std::optional<ResidentTracer> tracer_;
};

TEST_P(ObserveResident, CountsThePagesOfEachFunctionExactly) {
  char* area = nullptr;
  Worker worker([&area](int step) {
    switch (step) {
      case 0:
        area = map_pages(1000);
        touch_first(area, 300);
        touch_second(area + 500 * kPage, 200);
        break;
      case 1:
        munmap(area, 150 * kPage);
        break;
      case 2:
        madvise(area + 500 * kPage, 50 * kPage, MADV_DONTNEED);
        break;
      case 3:
        touch_second(area + 150 * kPage, 10);  // there already: these stay whose they are
        touch_first(area + 500 * kPage, 20);   // gone, and back by another
        break;
      default:
        touch_second(static_cast<char*>(
                         mremap(area + 150 * kPage, 150 * kPage, 2000 * kPage, MREMAP_MAYMOVE)) +
                         1000 * kPage,
                     7);
    }
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  const auto start = look_at(worker.pid());
  ASSERT_TRUE(start);
  worker.step();
  auto now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 300);
  EXPECT_EQ(pages_of(now, "touch_second"), 200);
  for (const auto& row : now.rows) {
    if (!goes_through(now, row, "touch_")) continue;
    EXPECT_EQ(row.labels[0], "anonymous");
    EXPECT_NE(row.labels[2].find("map_pages"), std::string::npos) << row.labels[2];
    EXPECT_EQ(row.labels[3], "user");
    EXPECT_EQ(row.values[2].value, row.values[1].value) << "a fault a page";
  }
  worker.step();
  EXPECT_EQ(pages_of(report(), "touch_first"), 150);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_second"), 150);
  EXPECT_NE(std::ranges::find(now.dimensions, "site"), now.dimensions.end());
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 170);
  EXPECT_EQ(pages_of(now, "touch_second"), 150);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 170) << "mremap takes pages along";
  EXPECT_EQ(pages_of(now, "touch_second"), 157);
  EXPECT_EQ(now.honesty.lost, 0U);

  // The worker waits, so that page tables and status are of one moment.
  const auto end = look_at(worker.pid());
  ASSERT_TRUE(end);
  EXPECT_EQ(sum_of_rows(now), figure(now, "leak"));
  EXPECT_EQ(figure(now, "growth"),
            static_cast<double>(end->bytes()) - static_cast<double>(start->bytes()));
  EXPECT_EQ(end->bytes(), end->status.all) << "pagemap and VmRSS";
}

TEST_P(ObserveResident, FollowsTheBreak) {
  static char* start;
  Worker worker([](int step) {
    if (step == 0) {
      start = static_cast<char*>(sbrk(0));
      start += (kPage - reinterpret_cast<std::uintptr_t>(start) % kPage) % kPage;
      if (brk(start + 40 * kPage) != 0) _exit(4);
      touch_first(start, 40);
    } else if (step == 1) {
      if (brk(start + 10 * kPage) != 0) _exit(4);
    } else {
      if (brk(start + 20 * kPage) != 0) _exit(4);
      touch_second(start + 10 * kPage, 5);
    }
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  auto now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 40);
  for (const auto& row : now.rows) {
    if (!goes_through(now, row, "touch_first") || row.values[1].value == 0) continue;
    EXPECT_EQ(row.labels[0], "heap");
    EXPECT_NE(row.labels[2].find("(brk)"), std::string::npos) << row.labels[2];
  }
  worker.step();
  EXPECT_EQ(pages_of(report(), "touch_first"), 10);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 10);
  EXPECT_EQ(pages_of(now, "touch_second"), 5);
}

TEST_P(ObserveResident, AForkTakesItsParentsPagesAndTheirStacksAlong) {
  pid_t child = -1;
  char* area = nullptr;
  std::array<int, 2> hold{};
  ASSERT_EQ(pipe(hold.data()), 0);
  Worker worker([&](int step) {
    if (step == 0) {
      area = map_pages(100);
      touch_first(area, 60);
    } else if (step == 1) {
      std::array<int, 2> ready{};
      if (pipe(ready.data()) != 0) _exit(5);
      child = fork();
      if (child == 0) {
        prctl(PR_SET_NAME, "the child");
        touch_second(area, 25);  // its own copies of its parent's pages
        touch_second(area + 60 * kPage, 10);
        char word = 0;
        if (write(ready[1], "x", 1) == 1) (void)!read(hold[0], &word, 1);
        _exit(0);
      }
      char word = 0;
      if (read(ready[0], &word, 1) != 1) _exit(6);
    } else {
      if (write(hold[1], "x", 1) != 1) _exit(7);
      waitpid(child, nullptr, 0);
    }
  });
  const auto parent = "/" + std::to_string(worker.pid());
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  EXPECT_EQ(pages_of(report(), "touch_first"), 60);
  worker.step();
  auto now = report();
  EXPECT_EQ(pages_of(now, "touch_first", parent), 60);
  EXPECT_EQ(pages_of(now, "touch_second", parent), 0);
  EXPECT_EQ(pages_of(now, "touch_first"), 60 + 35) << "pages that the child has not written";
  EXPECT_EQ(pages_of(now, "touch_second"), 35);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 60) << "what a process held goes with it";
  EXPECT_EQ(pages_of(now, "touch_second"), 0);
  EXPECT_TRUE(std::ranges::any_of(now.rows, [](const Row& row) {
    return row.labels[1].ends_with("(ended)") && row.values[4].value == 35.0 * kPage;
  })) << "its peak stays";
}

TEST_P(ObserveResident, PagesThatSystemCallsTouchAndThoseWithoutAFaultAreToldApart) {
  Worker worker([](int /*step*/) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) _exit(5);
    char* area = map_pages(4);
    static char word[8 * kPage];
    word[0] = 1;
    for (std::size_t i = 0; i < 4; ++i) {
      if (write(ends[1], word, 1) != 1 || read(ends[0], area + i * kPage, 1) != 1) _exit(8);
    }
    const void* populated = mmap(nullptr, 32 * kPage, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (populated == MAP_FAILED) _exit(9);
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  const auto now = report();
  double kernel = 0;
  double not_seen = 0;
  for (const auto& row : now.rows) {
    if (row.labels[0] != "anonymous") continue;
    if (row.labels[3] == "kernel") kernel += row.values[1].value;
    if (row.labels[3] == "not seen") not_seen += row.values[1].value;
  }
  EXPECT_EQ(kernel, 4);
  EXPECT_EQ(not_seen, 32);
}

TEST_P(ObserveResident, AHugePageBelongsToTheStackThatTouchedIt) {
  constexpr std::size_t kHuge = 2U << 20;
  Worker worker([](int /*step*/) {
    void* area =
        mmap(nullptr, 3 * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)madvise(area, 3 * kHuge, MADV_HUGEPAGE);
    const auto over = reinterpret_cast<std::uintptr_t>(area) % kHuge;
    touch_first(static_cast<char*>(area) + (kHuge - over) % kHuge + 77 * kPage, 1);
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  const auto look = look_at(worker.pid());
  ASSERT_TRUE(look);
  if (std::ranges::none_of(look->regions, &ResidentRegion::huge)) {
    GTEST_SKIP() << "no huge page was to be had, or PAGEMAP_SCAN does not tell";
  }
  EXPECT_EQ(pages_of(report(), "touch_first"), 512);
}

TEST_P(ObserveResident, AHugePageHasNothingOfTheOneThatWasGivenBack) {
  static constexpr std::size_t kHuge = 2U << 20;
  static char* huge;
  Worker worker([](int step) {
    if (step == 0) {
      void* area =
          mmap(nullptr, 3 * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      (void)madvise(area, 3 * kHuge, MADV_HUGEPAGE);
      const auto over = reinterpret_cast<std::uintptr_t>(area) % kHuge;
      huge = static_cast<char*>(area) + (kHuge - over) % kHuge;
      touch_first(huge + 77 * kPage, 1);
    } else {
      if (madvise(huge, kHuge, MADV_DONTNEED) != 0) _exit(4);
      touch_second(huge + 300 * kPage, 1);
    }
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  const auto huge_now = [&worker] {
    const auto look = look_at(worker.pid());
    return look && std::ranges::any_of(look->regions, &ResidentRegion::huge);
  };
  if (!huge_now()) GTEST_SKIP() << "no huge page was to be had, or PAGEMAP_SCAN does not tell";
  EXPECT_EQ(pages_of(report(), "touch_first"), 512);
  worker.step();
  if (!huge_now()) GTEST_SKIP() << "no huge page was to be had a second time";
  const auto now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 0);
  EXPECT_EQ(pages_of(now, "touch_second"), 512);
}

TEST_P(ObserveResident, AProcessThatItDoesNotFollowIsNotInIt) {
  Worker worker([](int /*step*/) {});
  Worker other([](int /*step*/) { touch_first(map_pages(50), 50); });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  other.step();
  worker.step();
  EXPECT_EQ(pages_of(report(), "touch_first"), 0);
}

TEST_P(ObserveResident, TheWholeSystemIsRefused) {
  ResidentTracer tracer({}, symbols_);
  const auto attached = tracer.attach();
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().code.value(), EINVAL);
  EXPECT_FALSE(tracer.plan());
}

TEST_P(ObserveResident, ThePlanTakesLessThanSixteenMegabytesBeforeTheFirstEvent) {
  ResidentOptions options;
  options.targets.everything = false;
  options.targets.pids = {static_cast<std::uint32_t>(getpid())};
  ResidentTracer tracer(options, symbols_);
  const auto plan = tracer.plan();
  ASSERT_TRUE(plan);
  EXPECT_LT(plan->memory_bytes, 16 << 20);
  ASSERT_NO_FATAL_FAILURE(attach(options.targets.pids[0]));
  double held = 0;
  for (const auto* object : tracer_->objects()) {
    for (const auto& each : object->held()) held += static_cast<double>(each.memory_bytes);
  }
  EXPECT_LT(held, 16 << 20);
}

TEST_P(ObserveResident, MappingsThatTheKernelMergesHaveTheirOwnCallers) {
  static char* low;
  static char* high;
  Worker worker([](int step) {
    if (step == 0) {
      // A hole between two, filled exactly; then what is below, by a hint.
      low = map_small(64);
      high = low + 40 * kPage;
      munmap(low + 20 * kPage, 20 * kPage);
      touch_first(high, 24);
    } else if (step == 1) {
      char* hole = fill_hole(low + 20 * kPage, 20, 0);
      if (hole != low + 20 * kPage) _exit(4);
      touch_second(hole, 20);
    } else if (step == 2) {
      // Over what is mapped, of exactly its size, and over a part of it.
      if (fill_hole(low + 20 * kPage, 20, MAP_FIXED) == nullptr) _exit(5);
      if (fill_hole(high + 4 * kPage, 10, MAP_FIXED) == nullptr) _exit(5);
      touch_second(low + 20 * kPage, 3);
      touch_second(high + 4 * kPage, 5);
    } else {
      munmap(low, 64 * kPage);
      low = map_small(64);
      mprotect(low + 10 * kPage, 7 * kPage, PROT_NONE);  // splits, and merges again
      mprotect(low + 10 * kPage, 7 * kPage, PROT_READ | PROT_WRITE);
      touch_first(low, 13);
    }
  });
  const auto pages_mapped_by = [](const Report& report, const std::string& caller) {
    double pages = 0;
    for (const auto& row : report.rows) {
      if (row.labels[2].find(caller) != std::string::npos) pages += row.values[1].value;
    }
    return pages;
  };
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  EXPECT_EQ(pages_mapped_by(report(), "map_small"), 24);
  worker.step();
  auto now = report();
  EXPECT_EQ(pages_mapped_by(now, "map_small"), 24);
  EXPECT_EQ(pages_mapped_by(now, "fill_hole"), 20);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 14);
  EXPECT_EQ(pages_of(now, "touch_second"), 8);
  EXPECT_EQ(pages_mapped_by(now, "map_small"), 14);
  EXPECT_EQ(pages_mapped_by(now, "fill_hole"), 8);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 13);
  EXPECT_EQ(pages_of(now, "touch_second"), 0);
  EXPECT_EQ(sum_of_rows(now), figure(now, "leak"));
}

TEST_P(ObserveResident, AMoveWhoseTargetMergesTakesPagesAlong) {
  static char* area;
  Worker worker([](int step) {
    if (step == 0) {
      area = map_small(100);
      munmap(area + 30 * kPage, 20 * kPage);
      touch_first(area + 90 * kPage, 10);
    } else if (step == 1) {
      // The end goes into the hole, where it merges with both sides.
      void* to = mremap(area + 90 * kPage, 10 * kPage, 20 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                        area + 30 * kPage);
      if (to != area + 30 * kPage) _exit(4);
      touch_second(area + 40 * kPage, 6);
    } else if (step == 2) {
      char* rest = area + 50 * kPage;
      if (mremap(rest, 40 * kPage, 20 * kPage, 0) != rest) _exit(5);  // smaller, where it is
      if (mremap(rest, 20 * kPage, 35 * kPage, 0) != rest) _exit(6);  // and larger
      touch_second(rest + 25 * kPage, 9);
    } else {
      char* to =
          static_cast<char*>(mremap(area + 50 * kPage, 35 * kPage, 3000 * kPage, MREMAP_MAYMOVE));
      if (to == MAP_FAILED) _exit(7);
      touch_first(to + 2000 * kPage, 2);
    }
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  EXPECT_EQ(pages_of(report(), "touch_first"), 10);
  worker.step();
  auto now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 10);
  EXPECT_EQ(pages_of(now, "touch_second"), 6);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 10);
  EXPECT_EQ(pages_of(now, "touch_second"), 15);
  worker.step();
  now = report();
  EXPECT_EQ(pages_of(now, "touch_first"), 12);
  EXPECT_EQ(pages_of(now, "touch_second"), 15);
  EXPECT_EQ(sum_of_rows(now), figure(now, "leak"));
}

TEST_P(ObserveResident, OneThatFailsChangesNothing) {
  static char* area;
  Worker worker([](int step) {
    if (step == 0) {
      area = map_pages(50);
      touch_first(area, 50);
      return;
    }
    constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    if (step == 1) {
      // Its place is taken; what is not at a page; more than there is; no room behind it.
      const int there = kAnonymous | MAP_FIXED_NOREPLACE;
      if (mmap(area + 10 * kPage, 5 * kPage, PROT_READ, there, -1, 0) != MAP_FAILED) _exit(4);
      if (munmap(area + 1, kPage) == 0) _exit(5);
      if (munmap(area, std::size_t{1} << 56) == 0) _exit(6);
      if (madvise(area + 1, kPage, MADV_DONTNEED) == 0) _exit(7);
      if (mremap(area, 10 * kPage, 20 * kPage, 0) != MAP_FAILED) _exit(8);
      (void)madvise(area, 50 * kPage, MADV_WILLNEED);
    } else {
      // Over what is there, when there is no room for it; lengths that are the same in pages.
      const rlimit none{1, 1};
      if (setrlimit(RLIMIT_AS, &none) != 0) _exit(9);
      const int over = kAnonymous | MAP_FIXED;
      if (mmap(area + 10 * kPage, 500 * kPage, PROT_READ, over, -1, 0) != MAP_FAILED) _exit(10);
      if (mremap(area, 2 * kPage, kPage + 904, 0) != area) _exit(11);
    }
  });
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  for (int step = 0; step < 3; ++step) {
    worker.step();
    const auto now = report();
    EXPECT_EQ(pages_of(now, "touch_first"), 50);
    double mapped = 0;
    for (const auto& row : now.rows) {
      if (row.labels[2].find("map_pages") != std::string::npos) mapped += row.values[1].value;
    }
    EXPECT_EQ(mapped, 50);
  }
}

TEST_P(ObserveResident, WhatWasThereStaysOfBeforeWhenACallFails) {
  static char* area;
  Worker worker([](int step) {
    if (step == 0) {
      area = map_pages(30);
      touch_first(area, 30);
    } else if (mremap(area, 20 * kPage, 5 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                      reinterpret_cast<void*>(16)) != MAP_FAILED) {
      _exit(4);
    } else if (munmap(area, std::size_t{1} << 56) == 0) {
      _exit(5);
    }
  });
  worker.step();
  ASSERT_NO_FATAL_FAILURE(attach(worker.pid()));
  worker.step();
  EXPECT_LT(figure(report(), "leak"), 30 * kPage / 2);
}

INSTANTIATE_TEST_SUITE_P(BySystemCalls, ObserveResident, testing::Bool(), [](const auto& each) {
  return each.param ? std::string("SystemCalls") : std::string("Changes");
});

TEST(StopKeeper, LetsStoppedProcessesGoOnWhenItsOwnerIsKilled) {
  ResidentOptions options;
  const pid_t stopped = fork();
  if (stopped == 0) {
    for (;;) pause();
  }
  ASSERT_EQ(kill(stopped, SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(waitpid(stopped, &status, WUNTRACED), stopped);
  const pid_t owner = fork();
  if (owner == 0) {
    options.targets.everything = false;
    options.targets.pids = {static_cast<std::uint32_t>(getppid())};
    options.own_child = true;
    Symboliser symbols;
    ResidentTracer tracer(options, symbols);
    if (!tracer.attach()) _exit(1);
    const auto fd = tracer.objects()[0]->map_fd("resident_stopped");
    const auto map = BpfMap::of<std::uint32_t, std::uint8_t>(*fd);
    if (!map->put(static_cast<std::uint32_t>(stopped), std::uint8_t{1})) _exit(2);
    raise(SIGKILL);
  }
  ASSERT_EQ(waitpid(owner, &status, 0), owner);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_TRUE(test::eventually([stopped] {
    int now = 0;
    return waitpid(stopped, &now, WCONTINUED | WNOHANG) == stopped && WIFCONTINUED(now);
  }));
  kill(stopped, SIGKILL);
  waitpid(stopped, nullptr, 0);
}

}  // namespace
}  // namespace lb::observe
