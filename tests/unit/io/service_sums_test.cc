// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/service_sums.h"

#include <gtest/gtest.h>

namespace lb {
namespace {

TEST(ServiceSums, AddsUpWhatItsRealServersForwarded) {
  ServiceSums sums(2, 4);
  sums.assign(0, 1);
  sums.assign(3, 1);
  sums.take(0, {10, 1000, 2});
  sums.take(3, {5, 300, 1});
  sums.take(0, {11, 1100, 2});
  EXPECT_EQ(sums.service(1).packets, 16U);
  EXPECT_EQ(sums.service(1).bytes, 1400U);
  EXPECT_EQ(sums.service(1).new_flows, 3U);
  EXPECT_EQ(sums.service(0).packets, 0U);
  EXPECT_EQ(sums.rs(0).packets, 11U);
}

TEST(ServiceSums, KeepsWhatARealServerForwardedForItsServiceBefore) {
  ServiceSums sums(2, 1);
  sums.take(0, {100, 100, 100});  // nobody's
  sums.assign(0, 0);
  EXPECT_TRUE(sums.belongs(0, 0));
  sums.take(0, {107, 170, 101});
  sums.assign(0, 1);
  EXPECT_FALSE(sums.belongs(0, 0));
  sums.take(0, {110, 200, 101});
  EXPECT_EQ(sums.service(0).packets, 7U);
  EXPECT_EQ(sums.service(0).bytes, 70U);
  EXPECT_EQ(sums.service(1).packets, 3U);
  EXPECT_EQ(sums.service(1).new_flows, 0U);
}

}  // namespace
}  // namespace lb
