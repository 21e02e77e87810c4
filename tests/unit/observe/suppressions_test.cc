// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/suppressions.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>

namespace lb::observe {
namespace {

TEST(Suppressions, PatternsMatchAPartUnlessHeld) {
  EXPECT_TRUE(matches_suppression("foo", "a_foo_b"));
  EXPECT_TRUE(matches_suppression("^foo", "foo_b"));
  EXPECT_FALSE(matches_suppression("^foo", "a_foo"));
  EXPECT_TRUE(matches_suppression("foo$", "a_foo"));
  EXPECT_FALSE(matches_suppression("foo$", "foo_b"));
  EXPECT_TRUE(matches_suppression("^foo$", "foo"));
  EXPECT_FALSE(matches_suppression("^foo$", "foofoo"));
  EXPECT_TRUE(matches_suppression("a*c", "xabcx"));
  EXPECT_TRUE(matches_suppression("^a*c$", "abcc"));
  EXPECT_FALSE(matches_suppression("^a*c$", "abcd"));
  EXPECT_TRUE(matches_suppression("*", ""));
}

/// The same by trying everything.
bool glob(std::string_view pattern, std::string_view text, bool to_end) {
  if (pattern.empty()) return !to_end || text.empty();
  if (pattern.front() == '*') {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (glob(pattern.substr(1), text.substr(i), to_end)) return true;
    }
    return false;
  }
  return !text.empty() && text.front() == pattern.front() &&
         glob(pattern.substr(1), text.substr(1), to_end);
}

TEST(Suppressions, MatchAsTryingEverythingDoes) {
  std::mt19937 random(7);
  auto pick = [&random](std::string_view letters) { return letters[random() % letters.size()]; };
  for (int round = 0; round < 20'000; ++round) {
    std::string pattern;
    std::string text;
    for (unsigned i = random() % 6; i > 0; --i) pattern += pick("ab*");
    for (unsigned i = random() % 8; i > 0; --i) text += pick("ab");
    const bool from_start = random() % 3 == 0;
    const bool to_end = random() % 3 == 0;
    bool expected = glob(pattern, text, to_end);
    for (std::size_t i = 1; i <= text.size() && !from_start; ++i) {
      expected = expected || glob(pattern, std::string_view(text).substr(i), to_end);
    }
    std::string written = pattern;
    if (from_start) written.insert(0, "^");
    if (to_end) written += '$';
    ASSERT_EQ(matches_suppression(written, text), expected) << written << " in " << text;
  }
}

TEST(Suppressions, OtherLinesAreRefusedWithTheirNumber) {
  auto good = Suppressions::parse("# known\n\n  leak:libfoo.so \nleak:^main$\n");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_FALSE(good->empty());
  auto bad = Suppressions::parse("leak:x\nrace:y\n");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("line 2"), std::string::npos);
  EXPECT_FALSE(Suppressions::parse("leak:\n"));
  EXPECT_TRUE(Suppressions::parse("")->empty());
  auto missing = Suppressions::load("/nonexistent/suppressions");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code.value(), ENOENT);
}

Report two_rows() {
  Report report;
  report.dimensions = {"process"};
  report.measures = {{"bytes", Unit::Bytes, Kind::Level, ""},
                     {"blocks", Unit::Count, Kind::Level, ""}};
  report.figures = {{"leak", Unit::Bytes, 300.0, ""}, {"blocks", Unit::Count, 3.0, ""}};
  report.objects = {{"/usr/lib/libknown.so", ""}};
  Frame mine;
  mine.places = {{"my_function", "my.cc", 7, false}};
  Frame theirs;
  theirs.object = 0;
  report.frames = {mine, theirs};
  report.stacks = {{{0}, false}, {{1}, false}};
  report.rows = {
      {{"a/1"}, 0, {100.0, 1.0}}, {{"a/1"}, 1, {200.0, 2.0}}, {{"a/1"}, kNone, {0.0, 0.0}}};
  return report;
}

TEST(Suppressions, TakeRowsAndTheirShareOfTheFiguresAway) {
  auto report = two_rows();
  Suppressions::parse("leak:libknown\nleak:never\n")->apply(report, "leak", "blocks");
  ASSERT_EQ(report.rows.size(), 2U);
  EXPECT_EQ(report.figures[0].value.value, 100);
  EXPECT_EQ(report.figures[1].value.value, 1);
  ASSERT_EQ(report.sections.size(), 1U);
  EXPECT_EQ(report.sections[0].lines,
            (std::vector<std::vector<std::string>>{{"200", "2", "libknown"}}));

  auto by_file = two_rows();
  Suppressions::parse("leak:^my.cc$\n")->apply(by_file, "leak", "blocks");
  EXPECT_EQ(by_file.figures[0].value.value, 200);
}

TEST(Suppressions, WithoutAnyNothingChanges) {
  auto report = two_rows();
  Suppressions().apply(report, "leak", "blocks");
  EXPECT_EQ(report, two_rows());
}

}  // namespace
}  // namespace lb::observe
