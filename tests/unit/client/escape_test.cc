// SPDX-License-Identifier: Apache-2.0
// Percent-encoding, and control characters disarmed.
#include "control/client/escape.h"

#include <gtest/gtest.h>

namespace lb::client {
namespace {

TEST(Escape, PercentEncodesAllButUnreserved) {
  EXPECT_EQ(percent_encode("192.0.2.10:80/tcp"), "192.0.2.10%3A80%2Ftcp");
  EXPECT_EQ(percent_encode("[2001:db8::1]:443/tcp"), "%5B2001%3Adb8%3A%3A1%5D%3A443%2Ftcp");
  EXPECT_EQ(percent_encode("a-Z_0~ \xff"), "a-Z_0~%20%FF");
  EXPECT_EQ(percent_encode(""), "");
}

TEST(Escape, PrintableKeepsTextAndDisarmsControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb\n\x7f"), "a?[31mb??");
  EXPECT_EQ(printable("größe"), "größe");
}

}  // namespace
}  // namespace lb::client
