// SPDX-License-Identifier: Apache-2.0
#include "control/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "dataplane/base/clock.h"
#include "dataplane/base/fd.h"

namespace lb {

void notify_systemd(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::size_t length = std::strlen(path);
  if (length >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  // Nobody to tell it to is no reason to stop.
  (void)::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), bytes);
}

void notify_systemd_alive() {
  if (std::getenv("WATCHDOG_USEC") == nullptr) return;
  const char* pid = std::getenv("WATCHDOG_PID");
  if (pid != nullptr && pid != std::to_string(::getpid())) return;
  notify_systemd("WATCHDOG=1");
}

void notify_systemd_reloading() {
  notify_systemd("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_ns() / 1000));
}

}  // namespace lb
