// SPDX-License-Identifier: Apache-2.0
// What changed between two snapshots.
#include "observe/output/difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "observe/output/frame_text.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;

TEST(Difference, OfASnapshotToItselfIsEmpty) {
  const auto out = difference(sample_report(), sample_report());
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_TRUE(out->rows.empty());
  EXPECT_TRUE(out->stacks.empty());
  EXPECT_TRUE(out->frames.empty());
  EXPECT_EQ(out->figures[0].value.value, 0);
  EXPECT_EQ(out->honesty.events, 0U);
  EXPECT_EQ(out->honesty.cost_ns, 84);
}

TEST(Difference, LevelsAndTotalsSubtractAndPeaksStay) {
  Report to = sample_report();
  to.rows[0].values = {1000, 20, 3000};
  const auto out = difference(sample_report(), to);
  ASSERT_EQ(out->rows.size(), 1U);
  EXPECT_EQ(out->rows[0].labels, to.rows[0].labels);
  EXPECT_EQ(out->rows[0].values, (std::vector<Value>{-24, 4, 3000}));
  EXPECT_EQ(stack_texts(*out, out->rows[0].stack)[0].function, "malloc");
}

TEST(Difference, RowsAreTheSameByContentNotByIndex) {
  Report to = sample_report();
  std::ranges::reverse(to.rows);
  std::ranges::reverse(to.stacks);
  for (Row& row : to.rows) {
    if (row.stack != kNone) row.stack = 2 - row.stack;
  }
  EXPECT_TRUE(difference(sample_report(), to)->rows.empty());
  // The process ended meanwhile, and its symbols could not be read again.
  to.frames[0].places.clear();
  EXPECT_TRUE(difference(sample_report(), to)->rows.empty());
  to.frames[0].offset = 0x11;
  EXPECT_EQ(difference(sample_report(), to)->rows.size(), 2U);
}

TEST(Difference, AProcessThatEndedMeanwhileHasItsRows) {
  Report from = sample_report();
  Report to = sample_report();
  for (Row& row : to.rows) row.labels[0] += kEnded;
  EXPECT_TRUE(difference(from, to)->rows.empty());
  // One that ended before, and another of its number.
  for (Report* report : {&from, &to}) report->rows.push_back(from.rows[0]);
  from.rows.back().labels[0] += kEnded;
  to.rows.back().labels[0] = from.rows.back().labels[0];
  to.rows[0].labels[0] = sample_report().rows[0].labels[0];
  EXPECT_TRUE(difference(from, to)->rows.empty());
}

TEST(Difference, KeepsTheSite) {
  Report from = sample_report();
  from.dimensions.emplace_back(kSite);
  for (Row& row : from.rows) row.labels.emplace_back("main.cc:1");
  Report to = from;
  to.rows[0].values[0].value += 1;
  to.rows[0].labels.back() = "main+0x1";
  const auto out = difference(from, to);
  ASSERT_TRUE(out) << out.error().message;
  ASSERT_EQ(out->rows.size(), 1U);
  EXPECT_EQ(out->rows[0].labels, to.rows[0].labels);
}

TEST(Difference, AcrossAPauseOfTheBudgetNoStockIsReliable) {
  Report to = sample_report();
  to.honesty.unobserved_s += 1;
  const auto out = difference(sample_report(), to);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_FALSE(out->figures[0].reliable);
  EXPECT_THAT(out->figures[0].help, HasSubstr("pause"));
}

TEST(Difference, RowsOfOneSideHaveZerosOnTheOther) {
  Report from = sample_report(), to = sample_report();
  from.rows.erase(from.rows.begin());  // new in `to`
  to.rows.erase(to.rows.begin() + 2);  // gone
  const auto out = difference(from, to);
  ASSERT_EQ(out->rows.size(), 2U);
  EXPECT_EQ(out->rows[0].values, (std::vector<Value>{1024, 16, 2048}));
  // Freed: the level falls; calls and peak are not known to have changed.
  EXPECT_EQ(out->rows[1].values, (std::vector<Value>{-512, 0, 512}));
  EXPECT_EQ(out->rows[1].labels[0], "redis/2");
  ASSERT_NE(out->rows[1].stack, kNone);
  EXPECT_EQ(stack_texts(*out, out->rows[1].stack)[0].function, "0x7f0050 (libc.so.6+0x50)");
}

TEST(Difference, IntervalsWiden) {
  Report from = sample_report(), to = sample_report();
  from.rows[1].values[0] = {100, 96, 103};
  to.rows[1].values[0] = {200, 196, 212};
  const auto out = difference(from, to);
  ASSERT_EQ(out->rows.size(), 1U);
  EXPECT_EQ(out->rows[0].values[0].value, 100);
  EXPECT_DOUBLE_EQ(out->rows[0].values[0].low, 95);  // 4 below, 3 above
  EXPECT_DOUBLE_EQ(out->rows[0].values[0].high, 100 + std::hypot(12, 4));
}

TEST(Difference, FiguresSubtractButRatesAreTheLater) {
  Report from = sample_report(), to = sample_report();
  from.figures[0].value = 100;
  to.figures[0].value = 350;
  to.figures[1].value = 7;
  from.figures[2].reliable = to.figures[2].reliable = true;
  from.figures[0].reliable = false;
  from.figures[0].help = "why not";
  to.figures.push_back({"new", Unit::Count, 5, "", true});
  const auto out = difference(from, to);
  EXPECT_EQ(out->figures[0].value, Value(250));
  EXPECT_FALSE(out->figures[0].reliable);
  EXPECT_EQ(out->figures[0].help, "why not");
  EXPECT_EQ(out->figures[1].value, Value(7));
  EXPECT_TRUE(out->figures[2].reliable);
  EXPECT_EQ(out->figures[3].value, Value(5));
}

TEST(Difference, HonestyCountsSinceThenAndNamesTheOtherSnapshot) {
  Report from = sample_report(), to = sample_report();
  to.honesty.events += 10;
  to.honesty.lost = 1;  // less than before: never below zero
  to.honesty.unobserved_s = 3;
  const auto out = difference(from, to);
  EXPECT_EQ(out->honesty.events, 10U);
  EXPECT_EQ(out->honesty.lost, 0U);
  EXPECT_EQ(out->honesty.unobserved_s, 3);
  EXPECT_EQ(out->honesty.notes.back(),
            "difference to the snapshot of 2023-11-14T22:13:20Z, 12.5 s after attach");
}

TEST(Difference, OfOtherTracersOrShapesIsAnError) {
  Report to = sample_report();
  to.tracer = "pages";
  EXPECT_THAT(difference(sample_report(), to).error().message,
              HasSubstr("tracers \"leak\" and \"pages\""));
  to = sample_report();
  to.dimensions[1] = "site";
  EXPECT_THAT(difference(sample_report(), to).error().message,
              HasSubstr("dimensions \"process size\" and \"process site\""));
  to = sample_report();
  to.measures[1].kind = Kind::Level;
  EXPECT_THAT(difference(sample_report(), to).error().message, HasSubstr("measures"));
}

TEST(Difference, RandomDifferencesAreThoseOfAMap) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, double> truth;
    const auto make = [&](double sign) {
      Report report;
      report.dimensions = {"d"};
      report.measures = {{"m", Unit::Count, Kind::Level, ""}};
      for (std::size_t i = 0, n = random() % 20; i < n; ++i) {
        const std::string label = std::to_string(random() % 10);
        const auto value = static_cast<double>(random() % 3);
        report.rows.push_back({{label}, kNone, {value}});  // a label may come twice
        truth[label] += sign * value;
      }
      return report;
    };
    const Report from = make(-1), to = make(1);
    const auto out = difference(from, to);
    ASSERT_TRUE(out);
    std::map<std::string, double> got;
    for (const Row& row : out->rows) got[row.labels[0]] = row.values[0].value;
    std::erase_if(truth, [](const auto& each) { return each.second == 0; });
    EXPECT_EQ(got, truth);
  }
}

}  // namespace
}  // namespace lb::observe
