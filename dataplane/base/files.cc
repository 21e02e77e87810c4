// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "dataplane/base/fd.h"

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

Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write");
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Status write_whole(int fd, std::string_view text) {
  LB_TRY(write_all(fd, text));
  if (::fsync(fd) != 0 && errno != EINVAL) return fail_errno(errno, "fsync");
  return {};
}

Status replace_whole(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp";
  (void)::unlink(temporary.c_str());
  Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail_errno(errno, temporary);
  auto status = write_whole(file.get(), text);
  if (status && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = fail_errno(errno, "rename");
  }
  if (!status) {
    (void)::unlink(temporary.c_str());
    return status;
  }
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) (void)::fsync(directory.get());  // the rename itself; some file systems cannot
  return {};
}

}  // namespace lb
