// SPDX-License-Identifier: Apache-2.0
// Reports as JSON and back; hostile documents.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "observe/output/json.h"
#include "observe/output/json_text.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Json, AnEmptyReportComesBack) {
  const auto back = from_json(to_json(Report{}));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, Report{});
}

TEST(Json, RandomReportsComeBackBitForBitInBothForms) {
  RandomReport random(1);
  for (int i = 0; i < 200; ++i) {
    const Report report = random.make();
    const std::string line = to_json(report);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    for (const std::string& text : {line, to_json(report, true)}) {
      const auto back = from_json(text);
      ASSERT_TRUE(back) << back.error().message << "\n" << text;
      ASSERT_EQ(*back, report) << text;
    }
  }
}

TEST(Json, RandomDoublesComeBackBitForBit) {
  RandomReport random(2);
  for (int i = 0; i < 3000; ++i) {
    Report report;
    report.at_s = random.number();
    const auto back = from_json(to_json(report));
    ASSERT_TRUE(back) << back.error().message;
    ASSERT_EQ(back->at_s, report.at_s);
  }
}

TEST(Json, NamesOfTheFieldsAreAnInterface) {
  const std::string text = to_json(sample_report());
  EXPECT_THAT(text, HasSubstr(R"({"tracer":"leak","at_s":12.5,"wall_ms":1700000000000,)"));
  EXPECT_THAT(text, HasSubstr(R"("measures":[{"name":"bytes","unit":"bytes","kind":"level",)"));
  EXPECT_THAT(text, HasSubstr(R"({"labels":{"process":"redis/1","size":"64"},)"
                              R"("values":{"bytes":1024,"calls":16,"peak":2048},"stack":0})"));
  EXPECT_THAT(text, HasSubstr(R"("bytes":{"value":4096,"low":3000,"high":5000})"));
  EXPECT_THAT(text, HasSubstr(R"("stack":null})"));
  EXPECT_THAT(text, HasSubstr(R"({"kind":"kernel","address":"0xffffffff81000040","pid":0,)"
                              R"("object":1,"offset":"0x40","places":[{"function":)"));
  EXPECT_THAT(text, HasSubstr(R"("honesty":{"events":1204,"lost":3,"missed":0,)"));
}

TEST(Json, WhatIsNotUtf8IsMadeValid) {
  Report report;
  report.tracer = "a\xff\xc3z\xed\xa0\x80";  // a lone byte, a cut one, a surrogate
  const auto back = from_json(to_json(report));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->tracer, "a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Json, WhatIsNoNumberComesBack) {
  Report report;
  report.at_s = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(from_json(to_json(report))->at_s));
  report.at_s = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(from_json(to_json(report))->at_s, report.at_s);
}

TEST(Json, FieldsOfLaterVersionsAreSkipped) {
  const std::string text =
      replaced(to_json(sample_report()), "{\"tracer\"", "{\"later\":[{}],\"tracer\"");
  const auto back = from_json(text);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, sample_report());
}

TEST(Json, SaysWhichFieldIsWrong) {
  const std::string good = to_json(sample_report());
  const auto message = [&](const std::string& from, const std::string& to) {
    const auto back = from_json(replaced(good, from, to));
    return back ? std::string("accepted") : back.error().message;
  };
  EXPECT_EQ(message("\"stack\":2", "\"stack\":7"), "rows[2].stack: 7 is out of range, there are 3");
  EXPECT_EQ(message("\"stack\":2", "\"stack\":-1"),
            "rows[2].stack: is not a whole number from 0 on");
  EXPECT_EQ(message("\"stack\":2", "\"stack\":4294967295"),
            "rows[2].stack: 4294967295 is over 4294967294");
  EXPECT_EQ(message("\"frames\":[3,1]", "\"frames\":[3,5]"),
            "stacks[1].frames[1]: is not the index of a frame, there are 5");
  EXPECT_EQ(message("\"object\":2", "\"object\":3"),
            "frames[0].object: 3 is out of range, there are 3");
  EXPECT_EQ(message("\"size\":\"64\"", "\"sizes\":\"64\""), "rows[0].labels.size: is missing");
  EXPECT_EQ(message("\"calls\":16", "\"calls\":\"16\""), "rows[0].values.calls: is not a number");
  EXPECT_EQ(message("\"calls\":16", "\"calls\":{\"value\":1}"),
            "rows[0].values.calls.low: is missing");
  EXPECT_EQ(message("\"unit\":\"bytes\"", "\"unit\":\"byte\""),
            "measures[0].unit: is not a known word");
  EXPECT_EQ(message("\"name\":\"calls\"", "\"name\":\"bytes\""), "measures: one stands twice");
  EXPECT_EQ(message("[\"process\",\"size\"]", "[\"size\",\"size\"]"),
            "dimensions: one stands twice");
  EXPECT_EQ(message("\"0x10\"", "\"0x1g\""), "frames[0].offset: is not a number like 0x1f");
  EXPECT_EQ(message("\"0x10\"", "\"0x11112222333344445\""),
            "frames[0].offset: is not a number like 0x1f");
  EXPECT_EQ(message("\"lost\":3", "\"lost\":-3"), "honesty.lost: is not a whole number from 0 on");
  EXPECT_EQ(message("\"cut\":true", "\"cut\":1"), "stacks[1].cut: is not true or false");
  EXPECT_EQ(message("\"wall_ms\":1700000000000", "\"wall_ms\":1.5"),
            "wall_ms: is not a whole number");
}

TEST(Json, GarbageIsAnErrorAndNeverACrash) {
  for (const char* text : {"", " ", "null", "[]", "{", "{}", "{}{}", "1e999", "\"\xff\"", "nul"}) {
    EXPECT_FALSE(from_json(text)) << text;
  }
  EXPECT_FALSE(from_json(std::string(100'000, '[')));
  // Bytes of a good document broken, and prefixes.
  const std::string good = to_json(sample_report());
  for (std::size_t i = 0; i < good.size(); i += 7) {
    EXPECT_FALSE(from_json(good.substr(0, i)));
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x15);
    const auto read = from_json(bad);
    EXPECT_TRUE(!read || from_json(to_json(*read))) << bad;
  }
}

TEST(JsonText, IntegersBeyondDoublesSurvive) {
  const auto value = json_from_text("[18446744073709551615,-9223372036854775808]");
  ASSERT_TRUE(value);
  EXPECT_EQ(json_to_text(*value, false), "[18446744073709551615,-9223372036854775808]");
}

TEST(JsonText, MoreThanOneDocumentIsAnError) {
  EXPECT_EQ(json_from_text("{} x").error().message, "byte 3: more follows the document");
  EXPECT_TRUE(json_from_text(" {} \n"));
}

TEST(JsonText, PrettyKeepsFlatThingsOnALine) {
  const auto value = json_from_text(R"({"a":[1,2],"b":{"c":[{}]}})");
  ASSERT_TRUE(value);
  EXPECT_EQ(json_to_text(*value, true),
            "{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": [\n      {}\n    ]\n  }\n}");
}

}  // namespace
}  // namespace lb::observe
