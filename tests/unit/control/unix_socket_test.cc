// SPDX-License-Identifier: Apache-2.0
#include "control/unix_socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

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

TEST_F(UnixSocketTest, AnInterfaceHasOneHolderAtATime) {
  std::string interface = "t" + std::to_string(::getpid());
  auto first = lock_interface(interface);
  ASSERT_TRUE(first) << first.error().message;
  auto second = lock_interface(interface);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code.value(), EBUSY);
  EXPECT_NE(
      second.error().message.find("port " + interface + " is in use by another lbd (process " +
                                  std::to_string(::getpid()) + ")"),
      std::string::npos)
      << second.error().message;
  EXPECT_TRUE(lock_interface(interface + "x"));
  EXPECT_EQ(interface_holder(interface), ::getpid());
  first->reset();
  EXPECT_EQ(interface_holder(interface), std::nullopt);
  EXPECT_TRUE(lock_interface(interface));
}

}  // namespace
}  // namespace lb
