// SPDX-License-Identifier: Apache-2.0
// What systemd is told, read at the other end of $NOTIFY_SOCKET.
#include "control/sd_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

class SdNotifyTest : public testing::Test {
 protected:
  SdNotifyTest() {
    const std::string name = "sluice-notify-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(name.begin(), name.end(), address.sun_path + 1);
    auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    EXPECT_EQ(::bind(systemd_.get(), reinterpret_cast<const sockaddr*>(&address), bytes), 0);
    ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  }
  ~SdNotifyTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }
  std::string told() {
    char text[256];
    ssize_t bytes = ::recv(systemd_.get(), text, sizeof text, MSG_DONTWAIT);
    return bytes < 0 ? "" : std::string(text, static_cast<std::size_t>(bytes));
  }
  Fd systemd_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

TEST_F(SdNotifyTest, TellsReady) {
  notify_systemd("READY=1");
  EXPECT_EQ(told(), "READY=1");
}

TEST_F(SdNotifyTest, FeedsAWatchdogThatIsThereForThisProcess) {
  notify_systemd_alive();
  EXPECT_EQ(told(), "") << "the unit has no WatchdogSec";
  ::setenv("WATCHDOG_USEC", "20000000", 1);
  notify_systemd_alive();
  EXPECT_EQ(told(), "WATCHDOG=1");
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  notify_systemd_alive();
  EXPECT_EQ(told(), "WATCHDOG=1");
  ::setenv("WATCHDOG_PID", "1", 1);
  notify_systemd_alive();
  EXPECT_EQ(told(), "") << "somebody else's";
}

}  // namespace
}  // namespace lb
