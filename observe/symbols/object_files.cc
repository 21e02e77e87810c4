// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/object_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string_view>

namespace lb::observe {
namespace {

/// Opens for reading what an O_PATH descriptor stands for, once it is known to be a regular file:
/// opening a device or a FIFO can wait, or act.
Result<Fd> open_regular(const Fd& path_fd, const std::string& name) {
  struct stat status{};
  if (::fstat(path_fd.get(), &status) != 0) return fail_errno(errno, name);
  if (!S_ISREG(status.st_mode)) return fail(EINVAL, name + ": not a regular file");
  Fd file(::open(fmt::format("/proc/self/fd/{}", path_fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, name);
  return file;
}

std::string link_text(const std::string& path) {
  std::array<char, PATH_MAX> text;
  const ssize_t bytes = ::readlink(path.c_str(), text.data(), text.size());
  return bytes < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(bytes));
}

}  // namespace

Result<FileId> file_id(const Fd& file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail_errno(errno, "fstat");
  return FileId{.device = status.st_dev, .inode = status.st_ino};
}

Result<Fd> open_under(const Root& root, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  const Fd path_fd(
      root ? static_cast<int>(::syscall(SYS_openat2, root->get(), path.c_str(), &how, sizeof(how)))
           : ::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!path_fd) return fail_errno(errno, path);
  return open_regular(path_fd, path);
}

Root root_of(std::uint32_t pid) {
  const std::string path = fmt::format("/proc/{}/root", pid);
  Fd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd own(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root || !own) return nullptr;
  const auto theirs = file_id(root);
  const auto ours = file_id(own);
  const bool same_root = theirs && ours && *theirs == *ours;
  // Another namespace can have other mounts under the same root directory.
  if (same_root && link_text(fmt::format("/proc/{}/ns/mnt", pid)) == link_text("/proc/self/ns/mnt"))
    return nullptr;
  return std::make_shared<const Fd>(std::move(root));
}

Result<Fd> open_mapped(std::uint32_t pid, const Mapping& mapping, const Root& root) {
  const std::string link =
      fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.start, mapping.end);
  const Fd path_fd(::open(link.c_str(), O_PATH | O_CLOEXEC));
  if (path_fd) return open_regular(path_fd, mapping.path);
  auto file = open_under(root, mapping.path);
  if (!file) return file;
  const auto id = file_id(*file);
  if (!id) return std::unexpected(id.error());
  if (id->inode != mapping.inode) {
    return fail(ESTALE, mapping.path + ": another file than the one that is mapped");
  }
  return file;
}

}  // namespace lb::observe
