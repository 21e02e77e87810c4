// SPDX-License-Identifier: Apache-2.0
// Conditions of --fail-if.
#include "observe/output/fail_if.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

/// "because", "" when it is not met, or "error: ...".
std::string because(std::string_view text, const Report& report = sample_report()) {
  const auto condition = FailIf::parse(text);
  if (!condition) return "error: " + condition.error().message;
  const auto verdict = condition->evaluate(report);
  if (!verdict) return "error: " + verdict.error().message;
  EXPECT_EQ(verdict->met, !verdict->because.empty());
  return verdict->because;
}

Report exact(double leak) {
  Report report = sample_report();
  report.figures[0].value = leak;
  return report;
}

TEST(FailIf, ComparesWithUnitsOfBothKinds) {
  EXPECT_EQ(because("leak > 1MB", exact(1'000'001)), "leak 977 KiB > 1MB");
  EXPECT_EQ(because("leak > 1MB", exact(1'000'000)), "");
  EXPECT_EQ(because("leak >= 1MB", exact(1'000'000)), "leak 977 KiB >= 1MB");
  EXPECT_EQ(because("leak > 1 MiB", exact(1'048'576)), "");
  EXPECT_EQ(because("leak>1MiB", exact(1'048'577)), "leak 1.00 MiB > 1MiB");
  EXPECT_EQ(because("leak < 1kB", exact(999)), "leak 999 B < 1kB");
  EXPECT_EQ(because("leak <= 1KB", exact(1000)), "leak 1000 B <= 1KB");
  EXPECT_EQ(because("leak == 1.5KiB", exact(1536)), "leak 1.50 KiB == 1.5KiB");
  EXPECT_EQ(because("leak != 0", exact(0)), "");
  EXPECT_EQ(because("leak != 0", exact(5)), "leak 5 B != 0");
  EXPECT_EQ(because("leak > -1", exact(0)), "leak 0 B > -1");
  EXPECT_EQ(because("growth_rate >= 2KiB/s"), "growth_rate 2.00 KiB/s >= 2KiB/s");
}

TEST(FailIf, KnowsTheNumbersOfTheHonestyLine) {
  EXPECT_EQ(because("lost > 2"), "lost 3 > 2");
  EXPECT_EQ(because("map_full > 0"), "");
  EXPECT_EQ(because("cost_ns > 80ns"), "cost_ns 84 ns > 80ns");
  EXPECT_EQ(because("cost_ns > 80"), "cost_ns 84 ns > 80");
  EXPECT_EQ(because("cpu_percent < 1%"), "cpu_percent 0.3 % < 1%");
  EXPECT_EQ(because("memory_bytes > 5MiB"), "memory_bytes 5.20 MiB > 5MiB");
  Report report = sample_report();
  report.honesty.unobserved_s = 2;
  EXPECT_EQ(because("unobserved_s > 1.5", report), "unobserved_s 2.00 s > 1.5");
  EXPECT_EQ(because("unobserved_s > 1500ms", report), "unobserved_s 2.00 s > 1500ms");
  EXPECT_EQ(because("unobserved_s > 2s", report), "");
}

TEST(FailIf, AndBindsTighterThanOr) {
  const Report report = exact(10);  // lost is 3
  EXPECT_EQ(because("leak > 5 and lost > 2", report), "leak 10 B > 5 and lost 3 > 2");
  EXPECT_EQ(because("leak > 50 and lost > 2", report), "");
  EXPECT_EQ(because("leak > 50 or lost > 2", report), "lost 3 > 2");
  EXPECT_EQ(because("leak > 5 or lost > 2", report), "leak 10 B > 5; lost 3 > 2");
  EXPECT_EQ(because("leak > 5 or lost > 2 and missed > 0", report), "leak 10 B > 5");
  EXPECT_EQ(because("missed > 0 and lost > 2 or leak > 5", report), "leak 10 B > 5");
  EXPECT_EQ(because("missed > 0 and lost > 2 or leak > 50", report), "");
}

TEST(FailIf, AnEstimateMeetsItOnlyWithItsWholeInterval) {
  // leak is 1.20 MiB, 1.00 to 1.40.
  EXPECT_EQ(because("leak > 1MB"), "leak ~1.20 MiB (1.00..1.40) > 1MB at its lower bound");
  EXPECT_EQ(because("leak > 1MiB"), "");  // the lower bound is 1 MiB
  EXPECT_EQ(because("leak >= 1MiB"), "leak ~1.20 MiB (1.00..1.40) >= 1MiB at its lower bound");
  EXPECT_EQ(because("leak < 1.3MiB"), "");
  EXPECT_EQ(because("leak < 1.5MiB"), "leak ~1.20 MiB (1.00..1.40) < 1.5MiB at its upper bound");
  EXPECT_EQ(because("leak == 1258291"), "");
  EXPECT_EQ(because("leak != 1.1MiB"), "");
  EXPECT_THAT(because("leak != 0"), StartsWith("leak ~1.20 MiB"));
}

TEST(FailIf, WhatIsNotReliableIsRefusedWithItsReason) {
  EXPECT_EQ(because("hidden > 0"),
            "error: --fail-if, column 1: hidden cannot decide here: frees are not visible");
  EXPECT_THAT(because("lost > 0 or hidden > 0"), StartsWith("error: --fail-if, column 13: hidden"));
}

TEST(FailIf, UnknownNamesAreErrorsThatListTheKnown) {
  const std::string message = because("lost > 0 or leek > 1");
  EXPECT_THAT(message, StartsWith("error: --fail-if, column 13: leak has no \"leek\", did you mean "
                                  "leak? it has leak, growth_rate, hidden, events, lost, "));
  EXPECT_THAT(because("zzz > 1"), HasSubstr("leak has no \"zzz\"; it has leak, "));
}

TEST(FailIf, UnitsOfAnotherKindAreErrors) {
  EXPECT_EQ(because("leak > 5ms"),
            "error: --fail-if, column 1: leak is in bytes, not in nanoseconds");
  EXPECT_THAT(because("leak > 5B/s"), HasSubstr("leak is in bytes, not in bytes_per_second"));
  EXPECT_THAT(because("lost > 5B"), HasSubstr("lost is in count, not in bytes"));
}

TEST(FailIf, SyntaxErrorsSayTheColumn) {
  const auto column = [](std::string_view text, std::string_view where, std::string_view why) {
    const std::string message = because(text);
    EXPECT_THAT(message, HasSubstr(std::string(where) + ": ")) << text;
    EXPECT_THAT(message, HasSubstr(std::string(why))) << text;
  };
  column("", "column 1", "expected the name");
  column("  ", "column 3", "expected the name");
  column("leak", "column 5", "expected one of >");
  column("leak = 1", "column 6", "expected one of >");
  column("leak >", "column 7", "expected a number");
  column("leak > x", "column 8", "expected a number");
  column("leak > inf", "column 8", "expected a number");
  column("leak > -", "column 8", "expected a number");
  column("leak > 1mib", "column 9", "\"mib\" is not a unit, did you mean MiB?");
  column("leak > 1 xyzzy", "column 10", "\"xyzzy\" is not a unit");
  column("leak > 1MB lost > 0", "column 12", "expected \"and\", \"or\" or the end");
  column("leak > 1MB and", "column 15", "expected the name");
  column("leak > 1MB or or lost > 1", "column 18", "expected one of >");
  column("leak > 1MB \x1b[2J", "column 12", "\"\\x1b[2J\"");
  EXPECT_FALSE(FailIf::parse(std::string(5000, ' ')));
}

}  // namespace
}  // namespace lb::observe
