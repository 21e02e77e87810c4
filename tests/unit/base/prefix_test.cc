// SPDX-License-Identifier: Apache-2.0
// IpPrefix: what is one, and what is said of one that is not.
#include "dataplane/base/prefix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lb {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& text) {
  auto prefix = IpPrefix::parse(text);
  EXPECT_FALSE(prefix) << text;
  return prefix ? "" : prefix.error().message;
}

TEST(IpPrefix, ParsesAndPrints) {
  for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "203.0.113.128/25", "198.51.100.7/32", "::/0",
                           "2001:db8::/32", "2001:db8::8000/113", "2001:db8::1/128"}) {
    auto prefix = IpPrefix::parse(text);
    ASSERT_TRUE(prefix) << text;
    EXPECT_EQ(prefix->to_string(), text);
  }
  EXPECT_EQ(IpPrefix::parse("198.51.100.7")->to_string(), "198.51.100.7/32");
  EXPECT_EQ(IpPrefix::parse("2001:db8::1")->to_string(), "2001:db8::1/128");
}

TEST(IpPrefix, HostBitsSuggestNetworkAndHost) {
  EXPECT_THAT(error_of("10.1.2.3/8"),
              HasSubstr("\"10.1.2.3/8\" has bits set behind the first 8: write 10.0.0.0/8 for the "
                        "network, or 10.1.2.3/32 for the host"));
  EXPECT_THAT(error_of("2001:db8::1/64"), HasSubstr("2001:db8::/64 for the network"));
  EXPECT_THAT(error_of("128.0.0.0/0"), HasSubstr("0.0.0.0/0"));
}

TEST(IpPrefix, RefusesWhatIsNone) {
  for (const char* text : {"", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/8/9", "10/8",
                           "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", " 10.0.0.0/8", "x/8",
                           "10.0.0.0/255.0.0.0", "10.0.0.0/0x8", "10.0.0.0/99999999999"}) {
    EXPECT_THAT(error_of(text), HasSubstr("is not a prefix")) << text;
  }
  EXPECT_THAT(error_of(std::string("10.0.0.0\0/8", 11)), HasSubstr("is not a prefix"));
  EXPECT_THAT(error_of("\x1b[31m"), HasSubstr("\\x1b"));
}

TEST(IpPrefix, ContainsItsClientsAndNoOthers) {
  const auto net = *IpPrefix::parse("10.128.0.0/9");
  EXPECT_TRUE(net.contains(*IpAddr::parse("10.128.0.0")));
  EXPECT_TRUE(net.contains(*IpAddr::parse("10.255.255.255")));
  EXPECT_FALSE(net.contains(*IpAddr::parse("10.127.255.255")));
  EXPECT_FALSE(net.contains(*IpAddr::parse("a80::")));
  EXPECT_TRUE(IpPrefix::parse("::/0")->contains(*IpAddr::parse("ffff::")));
  EXPECT_FALSE(IpPrefix::parse("::/0")->contains(*IpAddr::parse("1.2.3.4")));
}

}  // namespace
}  // namespace lb
