// SPDX-License-Identifier: Apache-2.0
// PrivateNet: an unnamed network namespace for one test: entered by the calling thread (threads it
// starts inherit it), left and thereby removed with all its interfaces by the destructor. RawEnd:
// frames in and out of an interface.
#pragma once

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>

#include "dataplane/base/fd.h"
#include "tests/support/eventually.h"
#include "tests/support/packet_builder.h"

namespace lb::test {

class PrivateNet {
 public:
  /// REQUIRES: CAP_SYS_ADMIN. valid() tells.
  PrivateNet() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    valid_ = before_ && unshare(CLONE_NEWNET) == 0 && run("ip link set lo up");
    // Router solicitations and the like would be counted as packets.
    Fd off(::open("/proc/thread-self/net/../../sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY));
    if (!off) off.reset(::open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY));
    (void)!write(off.get(), "1", 1);
  }
  PrivateNet(const PrivateNet&) = delete;
  PrivateNet& operator=(const PrivateNet&) = delete;
  ~PrivateNet() {
    if (before_) (void)setns(before_.get(), CLONE_NEWNET);
  }
  [[nodiscard]] bool valid() const { return valid_; }
  /// A shell command in this namespace; true on exit status 0.
  static bool run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT: a test's own words
  }
  /// A pair, both ends up, with so many queues each. Until the kernel has seen that the carrier is
  /// there, which it does in its own time, what is sent is lost without a word.
  static bool veth(const std::string& near, const std::string& far, int queues = 1) {
    auto n = std::to_string(queues);
    auto q = " numtxqueues " + n + " numrxqueues " + n + " ";
    return run("ip link add " + near + q + "type veth peer name " + far + q) &&
           run("ip link set " + near + " up") && run("ip link set " + far + " up") &&
           eventually([&] { return is_up(near) && is_up(far); });
  }
  static bool is_up(const std::string& interface) {
    return run("ip -o link show dev " + interface + " | grep -q 'state UP'");
  }

 private:
  Fd before_;
  bool valid_ = false;
};

/// An AF_PACKET socket on an interface, for what comes in there.
class RawEnd {
 public:
  explicit RawEnd(const std::string& interface)
      : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = Be16::from_host(0x0003).raw();  // ETH_P_ALL
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    int one = 1;
    setsockopt(fd_.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
    valid_ = fd_ && bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] bool valid() const { return valid_; }
  bool send(const Bytes& frame) const {
    return valid_ &&
           ::send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  /// The next frame that `wanted` takes, or nothing after `limit_ms`, whatever else comes.
  std::optional<Bytes> receive(const std::function<bool(const Bytes&)>& wanted,
                               int limit_ms = 3000) const {
    pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(limit_ms);
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() < 0 || poll(&ready, 1, static_cast<int>(left.count())) <= 0) {
        return std::nullopt;
      }
      std::array<std::uint8_t, 4096> buffer{};
      ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (n <= 0) return std::nullopt;
      Bytes frame(buffer.begin(), buffer.begin() + n);
      if (wanted(frame)) return frame;
    }
  }

 private:
  Fd fd_;
  bool valid_ = false;
};

}  // namespace lb::test
