// SPDX-License-Identifier: Apache-2.0
// Unix sockets: who holds a name is asked by connecting to it.
#include "control/unix_socket.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

/// A path, or with `abstract` a name that is in no file system.
std::optional<Address> address_of(const std::string& name, bool abstract) {
  Address result;
  result.address.sun_family = AF_UNIX;
  std::size_t offset = abstract ? 1 : 0;
  if (name.empty() || name.size() + 1 > sizeof(result.address.sun_path)) return std::nullopt;
  std::memcpy(result.address.sun_path + offset, name.data(), name.size());
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

}  // namespace

Result<Fd> listen_unix(const std::string& path) {
  auto address = address_of(path, false);
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

Result<Fd> lock_interface(const std::string& interface) {
  auto address = address_of("sluice/port/" + interface, true);
  if (!address) return fail(EINVAL, "port \"" + interface + "\": this is no interface name");
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "port " + interface + ": lock");
  if (::bind(fd.get(), address->get(), address->length) != 0) {
    if (errno != EADDRINUSE) return fail_errno(errno, "port " + interface + ": lock");
    int pid = listener_pid(*address).value_or(0);
    return fail(EBUSY, "port " + interface + " is in use by another lbd (" + pid_words(pid) +
                           "); stop that one first");
  }
  if (::listen(fd.get(), 1) != 0) return fail_errno(errno, "port " + interface + ": lock");
  return fd;
}

std::optional<int> interface_holder(const std::string& interface) {
  auto address = address_of("sluice/port/" + interface, true);
  return address ? listener_pid(*address) : std::nullopt;
}

}  // namespace lb
