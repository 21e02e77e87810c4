// SPDX-License-Identifier: Apache-2.0
// Unix sockets and lock files: who holds a socket is asked by connecting to it, who holds an
// interface by asking for its lock.
#include "control/unix_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>

#include "dataplane/base/log.h"

namespace lb {
namespace {

constexpr int kBacklog = 256;
constexpr mode_t kSocketMode = 0660;

struct Address {
  sockaddr_un address{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

std::optional<Address> address_of(const std::string& name) {
  Address result;
  result.address.sun_family = AF_UNIX;
  if (name.empty() || name.size() + 1 > sizeof(result.address.sun_path)) return std::nullopt;
  std::memcpy(result.address.sun_path, name.data(), name.size());
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  return result;
}

/// The pid of the process that listens there; nullopt when nobody does.
std::optional<int> listener_pid(const Address& address) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return std::nullopt;
  if (::connect(fd.get(), address.get(), address.length) != 0) {
    // A full backlog is a living listener as well.
    return errno == EAGAIN || errno == EACCES ? std::optional<int>(0) : std::nullopt;
  }
  ucred peer{};
  socklen_t length = sizeof(peer);
  getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length);
  return peer.pid;
}

std::string pid_words(int pid) {
  return pid == 0 ? "a process that does not answer" : "process " + std::to_string(pid);
}

Status make_folder(const std::string& path) {
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    return fail(error.value(), "socket folder " + folder.string() + ": " + error.message());
  return {};
}

Status clear_path(const std::string& path, const Address& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return fail(EEXIST, "socket " + path +
                            ": there is a file of that name that is no socket; "
                            "move it away or set control.socket");
  }
  if (auto pid = listener_pid(address)) {
    return fail(EADDRINUSE, "socket " + path + " is taken by " + pid_words(*pid) +
                                "; stop it, or give this lbd another control.socket");
  }
  if (::unlink(path.c_str()) != 0)
    return fail_errno(errno, "socket " + path + ", left by a dead lbd");
  spdlog::info("replaced {}, which a dead lbd had left", path);
  return {};
}

/// One file for each interface of each network namespace.
std::optional<std::string> lock_path(const std::string& interface, const std::string& folder) {
  struct stat space{};
  if (interface.empty() || interface.find('/') != std::string::npos) return std::nullopt;
  if (::stat("/proc/self/ns/net", &space) != 0) return std::nullopt;
  return folder + "/port-" + std::to_string(space.st_ino) + "-" + interface + ".lock";
}

constexpr int kLockTries = 5;

struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// 0: it cannot be read.
int pid_in(int fd) {
  std::array<char, 16> text{};
  ssize_t bytes = ::pread(fd, text.data(), text.size(), 0);
  int pid = 0;
  if (bytes > 0) std::from_chars(text.data(), text.data() + bytes, pid);
  return pid;
}

/// Opens and locks the file of an interface, which may have been taken away by then.
Result<Fd> lock_file(const std::string& interface, const std::string& path) {
  const std::string what = "port " + interface + ": lock " + path;
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return fail_errno(errno, what);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno(errno, what);
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    return fail(EPERM, what + ": others could hold it (it has uid " +
                           std::to_string(status.st_uid) + "); remove it");
  }
  struct flock lock = whole_file();
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) return fd;
  if (errno != EAGAIN && errno != EACCES) return fail_errno(errno, what);
  return fail(EBUSY, "port " + interface + " is in use by another lbd (" +
                         pid_words(pid_in(fd.get())) + "); stop that one first");
}

/// Whether the open file is the one at `path`.
bool is_at(int fd, const std::string& path) {
  struct stat open{};
  struct stat there{};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &there) == 0 &&
         open.st_ino == there.st_ino && open.st_dev == there.st_dev;
}

}  // namespace

SocketFile::~SocketFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<Fd> listen_unix(const std::string& path) {
  auto address = address_of(path);
  if (!address) {
    return fail(ENAMETOOLONG, "socket " + path + ": the path may have at most " +
                                  std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
  }
  LB_TRY(make_folder(path));
  LB_TRY(clear_path(path, *address));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "socket " + path);
  mode_t before = ::umask(0777 & ~kSocketMode);  // no moment at which others may connect
  int bound = ::bind(fd.get(), address->get(), address->length);
  int error = errno;
  ::umask(before);
  if (bound != 0) return fail_errno(error, "socket " + path);
  if (const group* sluice = ::getgrnam("sluice"); sluice != nullptr) {
    if (::chown(path.c_str(), static_cast<uid_t>(-1), sluice->gr_gid) != 0) {
      spdlog::warn("socket {}: cannot give it to group sluice: {}", path, std::strerror(errno));
    }
  }
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno(errno, "socket " + path);
  return fd;
}

InterfaceLock::~InterfaceLock() {
  if (fd_) ::unlink(path_.c_str());  // while it is held: who waits for nothing finds it gone
}

Result<InterfaceLock> lock_interface(const std::string& interface, const std::string& folder) {
  auto path = lock_path(interface, folder);
  if (!path) return fail(EINVAL, "port \"" + interface + "\": this is no interface name");
  LB_TRY(make_folder(*path));
  for (int tries = 0; tries < kLockTries; ++tries) {
    LB_TRY_ASSIGN(Fd fd, lock_file(interface, *path));
    if (!is_at(fd.get(), *path)) continue;  // its holder ended, and took it away, in between
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd.get(), 0) != 0 ||
        ::pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      return fail_errno(errno, "port " + interface + ": lock " + *path);
    }
    return InterfaceLock(std::move(fd), std::move(*path));
  }
  return fail(EBUSY, "port " + interface + ": lock " + *path + " comes and goes; try again");
}

std::optional<int> interface_holder(const std::string& interface, const std::string& folder) {
  auto path = lock_path(interface, folder);
  if (!path) return std::nullopt;
  Fd fd(::open(path->c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return errno == ENOENT || errno == ENOTDIR ? std::nullopt : std::optional<int>(0);
  struct flock lock = whole_file();  // asked for, never taken: that could make a start fail
  if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) return 0;
  return lock.l_type == F_UNLCK ? std::nullopt : std::optional<int>(pid_in(fd.get()));
}

std::optional<std::string> stale_lock(const std::string& interface, const std::string& folder) {
  auto path = lock_path(interface, folder);
  struct stat status{};
  if (!path || ::lstat(path->c_str(), &status) != 0) return std::nullopt;
  return interface_holder(interface, folder) ? std::nullopt : path;
}

}  // namespace lb
