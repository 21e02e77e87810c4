// SPDX-License-Identifier: Apache-2.0
// Unix sockets as lbd uses them: the API's listener, which replaces the file of a dead lbd but
// never that of a living one, and a locked file per interface, by which a second lbd on the same
// interface is refused. Called at start.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// Listens on `path`, mode 0660, group `sluice` where there is one. Makes the folder (0755). Errors
/// in words: taken by a living process (its pid), something that is no socket, path too long, no
/// permission.
[[nodiscard]] Result<Fd> listen_unix(const std::string& path);

/// Takes the file of a listener away when it goes: until keep(), when somebody else does that.
class SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) {}
  ~SocketFile();
  SocketFile(SocketFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  SocketFile& operator=(SocketFile&&) = delete;
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

/// Where the files of lock_interface() are: root's, so that nobody else can hold an interface.
inline constexpr const char* kLockFolder = "/run/sluice";

/// A locked file (fcntl(2), open file description): the lock ends with the process, the file with
/// this object.
class InterfaceLock {
 public:
  InterfaceLock(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  ~InterfaceLock();
  InterfaceLock(InterfaceLock&& other) noexcept = default;
  InterfaceLock& operator=(InterfaceLock&&) = delete;
  InterfaceLock(const InterfaceLock&) = delete;
  InterfaceLock& operator=(const InterfaceLock&) = delete;

 private:
  Fd fd_;
  std::string path_;
};

/// Holds the interface of this network namespace for this process. EBUSY with the pid of the
/// holder; EPERM when the file is one that others could lock.
[[nodiscard]] Result<InterfaceLock> lock_interface(const std::string& interface,
                                                   const std::string& folder = kLockFolder);

/// The pid of the lbd that holds the interface by lock_interface() (0: it cannot be read), or
/// nullopt when none does.
[[nodiscard]] std::optional<int> interface_holder(const std::string& interface,
                                                  const std::string& folder = kLockFolder);

/// The lock file of an interface that nobody holds: an lbd that was killed has left it.
[[nodiscard]] std::optional<std::string> stale_lock(const std::string& interface,
                                                    const std::string& folder = kLockFolder);

}  // namespace lb
