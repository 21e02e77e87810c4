// SPDX-License-Identifier: Apache-2.0
// `observe pages` of the whole system: its sum against /proc/meminfo's, and what a forced
// compaction does to it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/base/fd.h"
#include "observe/pages/meminfo.h"
#include "observe/pages/page_tracer.h"

namespace lb::observe {
namespace {

constexpr std::int64_t kPage = 4096;
constexpr std::size_t kAreaPages = 64 * 1024;

/// 256 MiB of own pages, each by itself.
class Area {
 public:
  Area() {
    at_ = static_cast<char*>(mmap(nullptr, kAreaPages * kPage, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    madvise(at_, kAreaPages * kPage, MADV_NOHUGEPAGE);
  }
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;
  ~Area() { munmap(at_, kAreaPages * kPage); }

  void touch() const {
    for (std::size_t i = 0; i < kAreaPages; ++i) at_[i * kPage] = 1;
  }
  void give_back_every_second() const {
    for (std::size_t i = 1; i < kAreaPages; i += 2) madvise(at_ + i * kPage, kPage, MADV_DONTNEED);
  }

 private:
  char* at_;
};

/// Pages in use that are neither free nor on a per-CPU list.
double used_pages() {
  const auto meminfo = read_meminfo();
  EXPECT_TRUE(meminfo);
  if (!meminfo) return 0;
  return static_cast<double>(meminfo->at("MemTotal") - meminfo->at("MemFree") -
                             meminfo->per_cpu_free) /
         kPage;
}

class PagesOfTheSystem : public testing::Test {
 protected:
  void SetUp() override {
    PagesOptions options;
    tracer_.emplace(options);
    const auto attached = tracer_->attach();
    ASSERT_TRUE(attached) << attached.error().message;
  }
  Report report() {
    auto report = tracer_->read();
    EXPECT_TRUE(report);
    return report ? std::move(*report) : Report{};
  }
  static double outstanding(const Report& report) {
    double pages = 0;
    for (const Row& row : report.rows) pages += row.values[1].value;
    return pages;
  }
  /// Pages that are in use now and were not at attach, as far as events tell.
  double grown() {
    const Report now = report();
    return outstanding(now) - static_cast<double>(now.honesty.frees_unknown);
  }
  double own_pages() {
    const Report now = report();
    double pages = 0;
    const auto self = "/" + std::to_string(getpid());
    for (const Row& row : now.rows) {
      if (row.labels[0].ends_with(self)) pages += row.values[1].value;
    }
    return pages;
  }
  double moved() {
    const Report now = report();
    for (const Figure& figure : now.figures) {
      if (figure.name == "moved") return figure.value.value;
    }
    return -1;
  }

  std::optional<PageTracer> tracer_;
};

// Other processes of the machine go on, and the two are not read at one moment: one of some times
// nobody else does much.
TEST_F(PagesOfTheSystem, SumIsThatOfMeminfo) {
  double nearest = kAreaPages;
  for (int i = 0; i < 10 && nearest > 0.03 * kAreaPages; ++i) {
    const double events_before = grown();
    const double used_before = used_pages();
    const Area area;
    area.touch();
    const double events = grown() - events_before;
    const double used = used_pages() - used_before;
    nearest = std::min(nearest, std::abs(events - used));
  }
  EXPECT_LE(nearest, 0.03 * kAreaPages) << "pages by events and by meminfo differ by these";
}

TEST_F(PagesOfTheSystem, WhatCompactionMovesIsCountedAndTheRestStaysExact) {
  const auto before = read_meminfo();
  ASSERT_TRUE(before);
  const double own_before = own_pages();
  double moved_pages = 0;
  {
    const Area area;
    area.touch();
    area.give_back_every_second();
    EXPECT_NEAR(own_pages() - own_before, kAreaPages / 2.0, 0.02 * kAreaPages);
    const Fd compact(open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC));
    if (!compact || write(compact.get(), "1", 1) != 1) GTEST_SKIP() << "no compaction here";
    const auto after = read_meminfo();
    ASSERT_TRUE(after);
    moved_pages = moved();
    const auto later = read_meminfo();
    ASSERT_TRUE(later);
    if (after->migrated == before->migrated) GTEST_SKIP() << "the kernel found nothing to move";
    // vmstat counts what was moved for other reasons, too.
    EXPECT_GE(moved_pages, 0.95 * static_cast<double>(after->migrated - before->migrated));
    EXPECT_LE(moved_pages, static_cast<double>(later->migrated - before->migrated));
    // What was moved has no owner any more; nothing else is lost.
    const double own = own_pages() - own_before;
    EXPECT_GE(own, kAreaPages / 2.0 - moved_pages - 0.02 * kAreaPages);
    EXPECT_LE(own, kAreaPages / 2.0 + 0.02 * kAreaPages);
  }
  EXPECT_LE(own_pages() - own_before, 0.02 * kAreaPages);
  std::printf("moved %.0f pages\n", moved_pages);
}

}  // namespace
}  // namespace lb::observe
