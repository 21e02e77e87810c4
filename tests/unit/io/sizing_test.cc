// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/sizing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/worker.h"

namespace lb {
namespace {

std::string error_of(const DataplaneConfig& config, std::uint32_t ports = 1) {
  auto sizes = ring_sizes(config, ports);
  return sizes ? "" : sizes.error().message;
}

TEST(RingSizes, DefaultFramesFillEveryRingOfEveryPort) {
  DataplaneConfig config;
  for (std::uint32_t ports = 1; ports <= kPortsMax; ++ports) {
    auto sizes = ring_sizes(config, ports);
    ASSERT_TRUE(sizes) << sizes.error().message;
    EXPECT_GE(sizes->frames, ports * (sizes->rx + sizes->tx + sizes->fill + sizes->completion));
    EXPECT_EQ(sizes->umem_bytes(), std::size_t{sizes->frames} * 2048);
  }
}

TEST(RingSizes, FollowTheConfig) {
  DataplaneConfig config;
  config.rx_ring = 128;
  config.tx_ring = 256;
  auto sizes = ring_sizes(config, 1);
  ASSERT_TRUE(sizes);
  EXPECT_EQ(sizes->rx, 128U);
  EXPECT_EQ(sizes->fill, 128U);
  EXPECT_EQ(sizes->tx, 256U);
  EXPECT_EQ(sizes->completion, 256U);
}

TEST(RingSizes, ErrorsNameTheKeyAndItsRange) {
  using testing::HasSubstr;
  DataplaneConfig config;
  config.rx_ring = 100;
  EXPECT_THAT(error_of(config), HasSubstr("dataplane.rx_ring = 100 is not a power of two"));
  config = {};
  config.tx_ring = 65536;
  EXPECT_THAT(error_of(config), HasSubstr("dataplane.tx_ring"));
  config = {};
  config.batch = 0;
  EXPECT_THAT(error_of(config), HasSubstr("dataplane.batch = 0 is not from 1 to 256"));
  config = {};
  config.frame_bytes = 3000;
  EXPECT_THAT(error_of(config), HasSubstr("dataplane.frame_bytes = 3000"));
  config = {};
  config.frames = 10;
  EXPECT_THAT(error_of(config), HasSubstr("dataplane.frames = 10"));
  EXPECT_THAT(error_of({}, 0), HasSubstr("0 ports"));
  EXPECT_THAT(error_of({}, kPortsMax + 1), HasSubstr("17 ports"));
}

}  // namespace
}  // namespace lb
