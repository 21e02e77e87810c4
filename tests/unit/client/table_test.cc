// SPDX-License-Identifier: Apache-2.0
// Tables as people read them.
#include "control/client/table.h"

#include <gtest/gtest.h>

namespace lb::client {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoTrailingBlanks) {
  Table table({{"NAME"}, {"PACKETS", Align::Right}, {"NOTE"}});
  table.row({"a", "5", ""});
  table.row({"longer", "12345678", "x"});
  EXPECT_EQ(table.render(false),
            "NAME     PACKETS  NOTE\n"
            "a              5  -\n"
            "longer  12345678  x\n");
}

TEST(Table, ColoursDoNotMoveColumns) {
  Table table({{"A"}, {"B"}});
  table.row({{"up", Tone::Good}, "x"});
  auto text = table.render(true);
  EXPECT_NE(text.find("\x1b[32mup\x1b[0m  x"), std::string::npos) << text;
}

TEST(Table, CountsCodePointsNotBytes) {
  EXPECT_EQ(display_width("größe"), 5U);
  Table table({{"N"}, {"M"}});
  table.row({"ü", "1"});
  EXPECT_EQ(table.render(false), "N  M\nü  1\n");
}

TEST(Table, DisarmsControlCharactersInCells) {
  Table table({{"N"}});
  table.row({"a\x1b]0;evil\x07"});
  EXPECT_EQ(table.render(false), "N\na?]0;evil?\n");
}

TEST(Table, WithoutRowsIsItsHeader) {
  Table table({{"N"}});
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.render(false), "N\n");
}

}  // namespace
}  // namespace lb::client
