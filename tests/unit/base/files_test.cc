// SPDX-License-Identifier: Apache-2.0
// Small files as a whole.
#include "dataplane/base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

TEST(Files, WhatIsWrittenIsRead) {
  FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  const std::string text(100'000, 'x');
  ASSERT_TRUE(write_whole(fileno(file), text));
  ASSERT_EQ(lseek(fileno(file), 0, SEEK_SET), 0);
  EXPECT_EQ(read_whole(fileno(file), text.size()).value_or(""), text);
  ASSERT_EQ(lseek(fileno(file), 0, SEEK_SET), 0);
  auto larger = read_whole(fileno(file), text.size() - 1);
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().code, std::errc::file_too_large);
  EXPECT_EQ(read_whole(fileno(file), 0).value_or("?"), "");  // at the end
  std::fclose(file);
}

TEST(Files, APipeIsWrittenThoughItCannotBeSynced) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fd out(ends[0]), in(ends[1]);
  EXPECT_TRUE(write_whole(in.get(), "text"));
  in.reset();
  EXPECT_EQ(read_whole(out.get(), 100).value_or(""), "text");
}

TEST(Files, ErrorsSayWhatTheSystemSaid) {
  Fd nowhere(open("/dev/full", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(nowhere);
  EXPECT_EQ(write_whole(nowhere.get(), "x").error().code, std::errc::no_space_on_device);
  EXPECT_EQ(read_whole(-1, 1).error().code, std::errc::bad_file_descriptor);
}

}  // namespace
}  // namespace lb
