// SPDX-License-Identifier: Apache-2.0
#include "control/unix_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>

namespace lb {
namespace {

class UnixSocketTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("lbd-sock-" + std::to_string(::getpid()));
  std::string path = (folder / "new" / "lbd.sock").string();
};

TEST_F(UnixSocketTest, MakesItsFolderAndIsForOwnerAndGroup) {
  auto listener = listen_unix(path);
  ASSERT_TRUE(listener) << listener.error().message;
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);
}

TEST_F(UnixSocketTest, RefusesThePathOfALivingListenerWithItsPid) {
  auto first = listen_unix(path);
  ASSERT_TRUE(first);
  auto second = listen_unix(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code.value(), EADDRINUSE);
  EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(UnixSocketTest, ReplacesTheSocketOfADeadOne) {
  listen_unix(path)->reset();
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_TRUE(listen_unix(path));
}

TEST_F(UnixSocketTest, NeverReplacesAFile) {
  std::filesystem::create_directories(folder);
  std::string file = (folder / "precious").string();
  std::ofstream(file) << "text";
  auto refused = listen_unix(file);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("no socket"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(file), 4U);
}

TEST_F(UnixSocketTest, RefusesAPathThatIsTooLong) {
  auto refused = listen_unix("/tmp/" + std::string(200, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code.value(), ENAMETOOLONG);
}

TEST_F(UnixSocketTest, TheSocketOfAStartThatFailedIsTakenAway) {
  auto listener = listen_unix(path);
  ASSERT_TRUE(listener) << listener.error().message;
  {
    SocketFile first(path);
    SocketFile moved(std::move(first));
    moved.keep();
  }
  EXPECT_TRUE(std::filesystem::exists(path));
  {
    SocketFile owner(path);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

std::ptrdiff_t locks_in(const std::string& folder) {
  return std::ranges::count_if(std::filesystem::directory_iterator(folder),
                               [](const auto& file) { return file.path().extension() == ".lock"; });
}

TEST_F(UnixSocketTest, AnInterfaceHasOneHolderAtATime) {
  auto first = lock_interface("eth0", folder);
  ASSERT_TRUE(first) << first.error().message;
  auto second = lock_interface("eth0", folder);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code.value(), EBUSY);
  EXPECT_NE(second.error().message.find("port eth0 is in use by another lbd (process " +
                                        std::to_string(::getpid()) + ")"),
            std::string::npos)
      << second.error().message;
  EXPECT_TRUE(lock_interface("eth1", folder));
  EXPECT_EQ(interface_holder("eth0", folder), ::getpid());
  EXPECT_EQ(interface_holder("eth0", folder), ::getpid()) << "asking takes nothing";
  EXPECT_EQ(interface_holder("eth7", folder), std::nullopt);
  EXPECT_EQ(stale_lock("eth0", folder), std::nullopt) << "it is held";
  {
    InterfaceLock ends(std::move(*first));
  }
  EXPECT_EQ(stale_lock("eth0", folder), std::nullopt) << "it is gone";
  EXPECT_EQ(interface_holder("eth0", folder), std::nullopt);
  EXPECT_TRUE(lock_interface("eth0", folder));
  EXPECT_EQ(locks_in(folder), 0) << "a file goes with its lock";
}

// The lock was an abstract socket, which any local user could bind first.
TEST_F(UnixSocketTest, NobodyElseCanHoldAnInterface) {
  sockaddr_un squatter{};
  squatter.sun_family = AF_UNIX;
  const std::string name = "sluice/port/t" + std::to_string(::getpid());
  std::copy(name.begin(), name.end(), squatter.sun_path + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&squatter),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  auto lock = lock_interface("t" + std::to_string(::getpid()), folder);
  ASSERT_TRUE(lock) << lock.error().message;
  ASSERT_EQ(locks_in(folder), 1);
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".lock") continue;
    EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
    {
      InterfaceLock ends(std::move(*lock));
    }
    std::ofstream(file.path()).close();
    EXPECT_EQ(stale_lock("t" + std::to_string(::getpid()), folder), file.path().string());
    std::filesystem::permissions(file, std::filesystem::perms(0666));
    auto open_to_all = lock_interface("t" + std::to_string(::getpid()), folder);
    ASSERT_FALSE(open_to_all);
    EXPECT_EQ(open_to_all.error().code.value(), EPERM);
    break;
  }
}

}  // namespace
}  // namespace lb
