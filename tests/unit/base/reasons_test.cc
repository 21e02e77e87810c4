// SPDX-License-Identifier: Apache-2.0
// The names of drop and hand-over reasons: each is there, is a word, and is there once.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "dataplane/base/drop_reason.h"
#include "dataplane/base/hand_reason.h"

namespace lb {
namespace {

void expect_word(std::string_view name) {
  EXPECT_FALSE(name.empty());
  EXPECT_TRUE(std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9');
  })) << name;
}

TEST(HandReason, EveryReasonHasANameOfItsOwnAndHelp) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kHandReasons; ++i) {
    auto reason = static_cast<HandReason>(i);
    expect_word(hand_reason_name(reason));
    EXPECT_TRUE(names.insert(hand_reason_name(reason)).second) << hand_reason_name(reason);
    EXPECT_FALSE(hand_reason_help(reason).empty());
  }
  EXPECT_EQ(hand_reason_name(HandReason::Engine), "engine");
  EXPECT_EQ(hand_reason_name(HandReason::Egress), "egress");
}

TEST(DropReason, EveryReasonHasANameOfItsOwnAndHelp) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    auto reason = static_cast<DropReason>(i);
    expect_word(drop_reason_name(reason));
    EXPECT_TRUE(names.insert(drop_reason_name(reason)).second) << drop_reason_name(reason);
    EXPECT_FALSE(drop_reason_help(reason).empty());
  }
}

}  // namespace
}  // namespace lb
