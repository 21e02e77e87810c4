// SPDX-License-Identifier: Apache-2.0
// ApiFixture: a ControlWorld that has started and is asked through the API's router.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "control/api_router.h"
#include "tests/support/control_world.h"

namespace lb {

class ApiFixture : public testing::Test {
 protected:
  /// `path`: of the config file, for a reload.
  explicit ApiFixture(const std::string& path = "/nonexistent/lbd.toml")
      : world(ControlWorld::kTwoPorts, path) {}
  void SetUp() override { ASSERT_TRUE(world.controller.start()); }
  ApiResponse call(const std::string& method, const std::string& target,
                   const std::string& body = {}) {
    return router.handle({.method = method, .target = target, .body = body});
  }
  /// The answer is a success; its body.
  boost::json::value good(const std::string& method, const std::string& target,
                          const std::string& body = {}) {
    ApiResponse answer = call(method, target, body);
    EXPECT_EQ(answer.status, 200) << method << " " << target << ": " << answer.body;
    return boost::json::parse(answer.body);
  }
  ControlWorld world;
  ApiRouter router{world.controller};
};

}  // namespace lb
