// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/addr.h"

#include <gtest/gtest.h>

namespace lb {
namespace {

TEST(ServiceAddr, RoundTripsEveryForm) {
  for (const char* text : {"192.0.2.10:80/tcp", "[2001:db8::1]:443/tcp", "192.0.2.10:8000-8100/udp",
                           "192.0.2.10:any/sctp", "[::1]:any/udp"}) {
    auto parsed = ServiceAddr::parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->to_string(), text);
  }
}

TEST(ServiceAddr, RefusesWhatIsNotOne) {
  for (const char* text :
       {"", "/", ":", "192.0.2.10", "192.0.2.10:80", "192.0.2.10/tcp", "192.0.2.10:0/tcp",
        "192.0.2.10:65536/tcp", "192.0.2.10:90-80/tcp", "192.0.2.10:80/icmp", "2001:db8::1:80/tcp",
        "[192.0.2.10]:80/tcp", "192.0.2.300:80/tcp", "192.0.2.10:80 /tcp", "192.0.2.10:-80/tcp"}) {
    EXPECT_FALSE(ServiceAddr::parse(text)) << text;
  }
}

TEST(MacAddr, RoundTripsAndRefuses) {
  EXPECT_EQ(MacAddr::parse("02:00:5E:10:00:ff")->to_string(), "02:00:5e:10:00:ff");
  for (const char* text : {"", "02:00:5e:10:00", "02:00:5e:10:00:f", "02-00-5e-10-00-ff",
                           "0x:00:5e:10:00:ff", "02:00:5e:10:00:ff:"}) {
    EXPECT_FALSE(MacAddr::parse(text)) << text;
  }
}

}  // namespace
}  // namespace lb
