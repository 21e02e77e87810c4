// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace lb {

Result<std::string> read_whole(int fd, std::size_t bytes_max) {
  std::string text;
  std::array<char, 16384> chunk;
  while (text.size() <= bytes_max) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read");
    if (got == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return fail(EFBIG, fmt::format("larger than {} MiB", bytes_max >> 20));
}

Status write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write");
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  if (::fsync(fd) != 0 && errno != EINVAL) return fail_errno(errno, "fsync");
  return {};
}

}  // namespace lb
