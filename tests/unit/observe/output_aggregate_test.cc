// SPDX-License-Identifier: Apache-2.0
// Grouping, sums with intervals, order and the rest row.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "observe/output/aggregate.h"
#include "observe/output/frame_text.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

TEST(Aggregate, WithoutOptionsOnlyOrdersRows) {
  const Report report = sample_report();
  const auto out = aggregate(report, {});
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_EQ(out->rows.size(), 4U);
  EXPECT_EQ(out->rows[0].values[0], Value(4096, 3000, 5000));
  EXPECT_EQ(out->rows[1].values[0], Value(1024));
  EXPECT_EQ(out->rows[3].stack, kNone);
  EXPECT_EQ(out->figures, report.figures);
  EXPECT_EQ(out->honesty, report.honesty);
  EXPECT_EQ(out->sections, report.sections);
}

TEST(Aggregate, AnEmptyReportStaysEmpty) {
  const auto out = aggregate(Report{}, {{}, "", 5});
  ASSERT_TRUE(out);
  EXPECT_EQ(*out, Report{});
}

TEST(Aggregate, SumsByADimension) {
  const auto out = aggregate(sample_report(), {{"process"}, "", 0});
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_EQ(out->rows.size(), 2U);
  EXPECT_EQ(out->dimensions, std::vector<std::string>{"process"});
  EXPECT_EQ(out->rows[0].labels[0], "redis/1");
  EXPECT_EQ(out->rows[0].values[0], Value(5120, 5120 - 1096, 5120 + 904));
  EXPECT_EQ(out->rows[0].values[1], Value(48));
  // Peaks: between the largest and the sum.
  EXPECT_EQ(out->rows[0].values[2], Value(10240, 8192, 10240));
  EXPECT_TRUE(out->stacks.empty());
  EXPECT_TRUE(out->frames.empty());
}

TEST(Aggregate, HalfWidthsAddInQuadratureEachSideForItself) {
  Report report;
  report.dimensions = {"d"};
  report.measures = {{"m", Unit::Count, Kind::Level, ""}};
  report.rows = {{{"a"}, kNone, {{10, 7, 16}}}, {{"a"}, kNone, {{20, 16, 28}}}};
  const auto out = aggregate(report, {});
  ASSERT_TRUE(out);
  ASSERT_EQ(out->rows.size(), 1U);
  EXPECT_EQ(out->rows[0].values[0], Value(30, 30 - 5, 30 + 10));
}

TEST(Aggregate, TheSameStackInTwoProcessesIsOne) {
  Report report = sample_report();
  Frame other = report.frames[0];  // malloc of redis/2: another address, the same code
  other.address = 0x1230010;
  other.pid = 2;
  report.frames.push_back(other);
  report.stacks.push_back({{5, 1, 2}, false});
  report.rows[2].stack = 3;
  const auto out = aggregate(report, {{"stack"}, "", 0});
  ASSERT_TRUE(out);
  ASSERT_EQ(out->rows.size(), 3U);  // the third has no stack
  EXPECT_EQ(out->rows[1].values[0], Value(1536));
  EXPECT_EQ(stack_texts(*out, out->rows[1].stack)[0].function, "malloc");
  EXPECT_EQ(out->stacks.size(), 2U);
}

TEST(Aggregate, PutsTheRestInOneRow) {
  const auto out = aggregate(sample_report(), {{"size", "process"}, "", 2});
  ASSERT_TRUE(out);
  ASSERT_EQ(out->rows.size(), 3U);
  EXPECT_EQ(out->rows[2].labels, (std::vector<std::string>{"(2 others)", ""}));
  EXPECT_EQ(out->rows[2].values[0], Value(512));
  EXPECT_EQ(out->rows[2].values[1], Value(3));
}

TEST(Aggregate, WithoutDimensionsTheRestIsAStackOfThatName) {
  const auto out = aggregate(sample_report(), {{"stack"}, "", 1});
  ASSERT_TRUE(out);
  ASSERT_EQ(out->rows.size(), 2U);
  ASSERT_NE(out->rows[1].stack, kNone);
  EXPECT_EQ(stack_texts(*out, out->rows[1].stack)[0].function, "(3 others)");
  EXPECT_EQ(out->rows[1].values[0], Value(1536));
}

TEST(Aggregate, ATopOfAllRowsLeavesNoRest) {
  EXPECT_EQ(aggregate(sample_report(), {{}, "", 4})->rows.size(), 4U);
  EXPECT_EQ(aggregate(sample_report(), {{}, "", 3})->rows.size(), 4U);
}

TEST(Aggregate, TheMeasureThatOrdersComesFirst) {
  const auto out = aggregate(sample_report(), {{}, "calls", 0});
  ASSERT_TRUE(out);
  EXPECT_EQ(out->measures[0].name, "calls");
  EXPECT_EQ(out->measures[1].name, "bytes");
  EXPECT_EQ(out->rows[0].values[0], Value(32));
  EXPECT_EQ(out->rows[2].labels[1], "-");
  EXPECT_EQ(out->rows[3].values[0], Value(1));
}

TEST(Aggregate, EqualRowsStayAsTheyCame) {
  Report report;
  report.dimensions = {"d"};
  report.measures = {{"m", Unit::Count, Kind::Level, ""}};
  for (int i = 0; i < 100; ++i) {
    report.rows.push_back({{std::to_string(i)}, kNone, {i == 50 ? std::nan("") : 1.0}});
  }
  const auto out = aggregate(report, {});
  for (std::size_t i = 0; i < 99; ++i) {
    EXPECT_EQ(out->rows[i].labels[0], std::to_string(i < 50 ? i : i + 1));
  }
  EXPECT_EQ(out->rows[99].labels[0], "50");
}

TEST(Aggregate, SuggestsTheNearestName) {
  EXPECT_EQ(aggregate(sample_report(), {{"proces"}, "", 0}).error().message,
            "leak has no dimension \"proces\"; did you mean process? it has process, size, stack");
  EXPECT_EQ(aggregate(sample_report(), {{}, "byte", 0}).error().message,
            "leak has no measure \"byte\"; did you mean bytes? it has bytes, calls, peak");
  EXPECT_FALSE(aggregate(sample_report(), {{"size", "size"}, "", 0}));
}

TEST(Aggregate, LabelsThatRunTogetherStayApart) {
  Report report;
  report.dimensions = {"a", "b"};
  report.measures = {{"m", Unit::Count, Kind::Level, ""}};
  report.rows = {{{"x 1:y", "z"}, kNone, {1}}, {{"x", "y 1:z"}, kNone, {1}}};
  EXPECT_EQ(aggregate(report, {})->rows.size(), 2U);
}

TEST(Aggregate, RandomTotalsAreThoseOfTheRows) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    Report report;
    report.tracer = "t";
    report.dimensions = {"a", "b"};
    report.measures = {{"m", Unit::Count, Kind::Total, ""}};
    std::map<std::string, double> truth;
    double total = 0;
    for (std::size_t i = 0, n = random() % 50; i < n; ++i) {
      const std::string b(1, static_cast<char>('a' + random() % 5));
      const auto value = static_cast<double>(random() % 100);
      report.rows.push_back({{std::to_string(random() % 3), b}, kNone, {value}});
      truth[b] += value;
      total += value;
    }
    const auto all = aggregate(report, {{"b"}, "", 0});
    ASSERT_EQ(all->rows.size(), truth.size());
    for (const Row& row : all->rows) EXPECT_EQ(row.values[0], Value(truth[row.labels[0]]));
    double top_total = 0;
    const auto top = aggregate(report, {{"b"}, "", 2});
    for (const Row& row : top->rows) top_total += row.values[0].value;
    EXPECT_EQ(top_total, total);
  }
}

}  // namespace
}  // namespace lb::observe
