// SPDX-License-Identifier: Apache-2.0
// Durations, counts, sizes, rates.
#include "dataplane/base/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace lb {
namespace {

TEST(Units, ParsesDurationsOfEveryUnit) {
  EXPECT_EQ(parse_duration("0"), 0U);
  EXPECT_EQ(parse_duration("500ms"), 500U);
  EXPECT_EQ(parse_duration("30s"), 30'000U);
  EXPECT_EQ(parse_duration("5m"), 300'000U);
  EXPECT_EQ(parse_duration("1h30m"), 5'400'000U);
  EXPECT_EQ(parse_duration("2d"), 172'800'000U);
  EXPECT_EQ(parse_duration("365d"), 31'536'000'000U);
}

TEST(Units, RefusesDurationsWithoutUnitOrNumberOrEnd) {
  for (const char* text :
       {"", "5", "m", "5x", "5m3", "-5m", " 5m", "5 m", "1.5h", "366d", "99999999999999999999s",
        "5sec", "5000000000h", "s", "18446744073709551615d", "365d1ms"}) {
    auto result = parse_duration(text);
    EXPECT_FALSE(result) << text;
    if (result) continue;
    EXPECT_NE(result.error().message.find("1h30m"), std::string::npos) << text;
  }
}

TEST(Units, WritesDurationsSoThatTheyAreReadBack) {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"0s", 0},        {"200ms", 200},    {"1500ms", 1'500},  {"5s", 5'000},      {"90s", 90'000},
      {"15m", 900'000}, {"1h", 3'600'000}, {"90m", 5'400'000}, {"24h", 86'400'000}};
  for (const auto& [text, ms] : good) {
    EXPECT_EQ(format_duration(ms), text);
    EXPECT_EQ(parse_duration(text).value_or(1), ms) << text;
  }
}

TEST(Units, RoundsDurationsToTwoUnits) {
  EXPECT_EQ(rough_duration(0), "0ms");
  EXPECT_EQ(rough_duration(999), "999ms");
  EXPECT_EQ(rough_duration(1000), "1s");
  EXPECT_EQ(rough_duration(59'999), "59s");
  EXPECT_EQ(rough_duration(60'000), "1m");
  EXPECT_EQ(rough_duration(252'000), "4m 12s");
  EXPECT_EQ(rough_duration(3'600'000), "1h");
  EXPECT_EQ(rough_duration(90'000'000), "1d 1h");
}

TEST(Units, FormatsCountsInDigitsOrThreeFigures) {
  EXPECT_EQ(format_count(1234567, false), "1234567");
  EXPECT_EQ(format_count(0, true), "0");
  EXPECT_EQ(format_count(999, true), "999");
  EXPECT_EQ(format_count(1000, true), "1.00k");
  EXPECT_EQ(format_count(1234567, true), "1.23M");
  EXPECT_EQ(format_count(12'345'678, true), "12.3M");
  EXPECT_EQ(format_count(999'600, true), "1.00M");
  EXPECT_EQ(format_count(std::numeric_limits<std::uint64_t>::max(), true), "18.4E");
}

TEST(Units, CountsNouns) {
  EXPECT_EQ(counted(1, "flow"), "1 flow");
  EXPECT_EQ(counted(0, "flow"), "0 flows");
}

TEST(Units, FormatsBytesInBinaryUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1'048'100), "1.00 MiB");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(64U << 20, true), "64.0 MiB");
  EXPECT_EQ(format_bytes(64U << 20, false), "67108864");
}

TEST(Units, FormatsRatesAndTreatsNonsenseAsZero) {
  EXPECT_EQ(format_rate(1234.6, false), "1235");
  EXPECT_EQ(format_rate(1.5e6, true), "1.50M");
  EXPECT_EQ(format_rate(-1, false), "0");
  EXPECT_EQ(format_rate(std::numeric_limits<double>::quiet_NaN(), true), "0");
}

}  // namespace
}  // namespace lb
