// SPDX-License-Identifier: Apache-2.0
// Quoting of input, and the nearest known word.
#include "dataplane/base/text.h"

#include <gtest/gtest.h>

#include <vector>

namespace lb {
namespace {

TEST(Text, QuotesAndShowsWhatCannotBeSeen) {
  EXPECT_EQ(quoted("eth0"), "\"eth0\"");
  EXPECT_EQ(quoted(""), "\"\"");
  EXPECT_EQ(quoted("a\x1b[2J\n\xff"), "\"a\\x1b[2J\\x0a\\xff\"");
  EXPECT_EQ(lb::quoted(std::string(80, 'a')).size(), 82U);
  EXPECT_EQ(lb::quoted(std::string(81, 'a')), "\"" + std::string(80, 'a') + "...\"");
}

TEST(Text, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("show", "shwo"), 1U);
  EXPECT_EQ(edit_distance("weight", "wieght"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("Weight", "wEIGHT"), 0U);
  EXPECT_EQ(edit_distance(std::string(500, 'a'), std::string(500, 'b')), 64U);
}

TEST(Text, FindsTheNearestWordAndNothingFarOff) {
  std::vector<std::string> words{"show", "stats", "save", "set-vip", "set-rs", "check-health"};
  EXPECT_EQ(nearest("shwo", words), "show");
  EXPECT_EQ(nearest("stat", words), "stats");
  EXPECT_EQ(nearest("setvip", words), "set-vip");
  EXPECT_EQ(nearest("check", words), "check-health");
  EXPECT_EQ(nearest("frobnicate", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest("x", std::vector<std::string_view>{"y"}), "");  // nothing of it is left
  EXPECT_EQ(nearest("x", std::vector<std::string>{}), "");
}

}  // namespace
}  // namespace lb
