// SPDX-License-Identifier: Apache-2.0
// From a snapshot of the heap-leak tracer to a Report: what is told of nothing, and of losses.
#include "observe/leak/heap_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace lb::observe {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

Report report_of(const HeapLeakOptions& options, HeapSnapshot snapshot) {
  HeapReporter reporter(options, 0);
  snapshot.now_ns = kSecond;
  Report report;
  reporter.build(snapshot, {}, {}, [](std::uint64_t) { return kNone; }, report);
  return report;
}

const Figure& figure(const Report& report, const std::string& name) {
  return *std::ranges::find(report.figures, name, &Figure::name);
}

TEST(HeapReport, NothingIsExactlyNothingOnlyWhereEachBlockIsTaken) {
  HeapLeakOptions options;
  EXPECT_EQ(figure(report_of(options, {}), "leak").value, Value{0});
  options.sample_bytes = 512 << 10;
  const Report report = report_of(options, {});
  const Value leak = figure(report, "leak").value;
  EXPECT_EQ(leak.value, 0);
  EXPECT_EQ(leak.low, 0);
  EXPECT_NEAR(leak.high, 3.69 * (512 << 10), 0.01 * (512 << 10));
  EXPECT_NEAR(figure(report, "blocks").value.high, leak.high, 1);  // of one byte each
}

TEST(HeapReport, LostEventsMakeAllFiguresOfBlocksUnreliable) {
  HeapSnapshot snapshot;
  snapshot.losses.ring_full = 1;
  const Report report = report_of({}, snapshot);
  for (const Figure& one : report.figures) {
    if (!is_of_blocks(one)) continue;
    EXPECT_FALSE(one.reliable) << one.name;
    EXPECT_THAT(one.help, testing::HasSubstr("lost"));
  }
  EXPECT_EQ(std::ranges::count_if(report.figures, is_of_blocks), 4);
}

}  // namespace
}  // namespace lb::observe
