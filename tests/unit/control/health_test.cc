// SPDX-License-Identifier: Apache-2.0
// HealthChecker against listeners on loopback.
#include "control/health.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <vector>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

using namespace std::chrono_literals;

struct Listener {
  explicit Listener(int backlog = 16) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
    if (backlog >= 0) {
      EXPECT_EQ(::listen(fd.get(), backlog), 0);
    }
  }
  Fd fd;
  std::uint16_t port = 0;
};

struct Seen {
  CheckTarget target;
  bool passed;
  std::string reason;
};

class HealthCheckerTest : public testing::Test {
 protected:
  static CheckTarget target(std::uint16_t port, std::uint32_t interval_ms = 20,
                            std::uint32_t timeout_ms = 1000) {
    return {.address = *IpAddr::parse("127.0.0.1"),
            .port = port,
            .interval_ms = interval_ms,
            .timeout_ms = timeout_ms};
  }
  /// Runs until so many results are there, or ten seconds have passed.
  void run_until(std::size_t results) {
    auto end = std::chrono::steady_clock::now() + 10s;
    while (seen.size() < results && std::chrono::steady_clock::now() < end) io.run_one_for(100ms);
    EXPECT_GE(seen.size(), results);
  }
  boost::asio::io_context io;
  std::vector<Seen> seen;
  HealthChecker checker{io, [this](const CheckTarget& to, bool passed, const std::string& reason) {
                          seen.push_back({to, passed, reason});
                        }};
};

TEST_F(HealthCheckerTest, PassesWhereSomebodyListensAndGoesOn) {
  Listener listener;
  checker.set_targets({target(listener.port)});
  run_until(3);
  for (const Seen& one : seen) EXPECT_TRUE(one.passed) << one.reason;
}

TEST_F(HealthCheckerTest, FailsInWordsWhereNobodyListens) {
  Listener bound(-1);
  checker.set_targets({target(bound.port)});
  run_until(1);
  EXPECT_FALSE(seen[0].passed);
  EXPECT_EQ(seen[0].reason, "connection refused");
}

TEST_F(HealthCheckerTest, TimesOutWhenTheBacklogIsFull) {
  Listener listener(0);
  Fd filler[2] = {Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)),
                  Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0))};
  for (Fd& fd : filler) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int made = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ASSERT_TRUE(made == 0 || errno == EINPROGRESS);
  }
  checker.set_targets({target(listener.port, 1000, 50)});
  run_until(1);
  EXPECT_FALSE(seen[0].passed);
  EXPECT_EQ(seen[0].reason, "no answer in 50 ms");
}

TEST_F(HealthCheckerTest, NoticesWhenTheListenerGoes) {
  auto listener = std::make_unique<Listener>();
  checker.set_targets({target(listener->port)});
  run_until(1);
  EXPECT_TRUE(seen.back().passed);
  listener.reset();
  std::size_t before = seen.size();
  run_until(before + 2);
  EXPECT_FALSE(seen.back().passed);
}

TEST_F(HealthCheckerTest, ATargetThatIsGoneReportsNothingMore) {
  Listener listener;
  checker.set_targets({target(listener.port)});
  run_until(1);
  checker.set_targets({});
  EXPECT_EQ(checker.size(), 0U);
  std::size_t before = seen.size();
  io.run();  // returns, since nothing is left to wait for
  EXPECT_EQ(seen.size(), before);
}

TEST_F(HealthCheckerTest, KeepsTheChecksThatStay) {
  Listener first, second;
  checker.set_targets({target(first.port, 60'000)});
  run_until(1);
  checker.set_targets({target(first.port, 60'000), target(second.port, 60'000)});
  run_until(2);
  EXPECT_EQ(seen[0].target.port, first.port);
  EXPECT_EQ(seen[1].target.port, second.port);
}

}  // namespace
}  // namespace lb
