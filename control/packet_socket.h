// SPDX-License-Identifier: Apache-2.0
// PacketSocket: AF_PACKET on one interface: sends whole frames, and receives the answers to tagged
// ARP and neighbour solicitations, which the kernel does not know what to do with. Non-blocking.
// Needs CAP_NET_RAW.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/addr.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

class PacketSocket {
 public:
  /// Sends only, by send_by(); nothing is ever queued for reading. Keep it: the kernel lets closing
  /// a packet socket wait for an RCU grace period, 10 to 30 ms.
  [[nodiscard]] static Result<PacketSocket> sender();
  /// Receives VLAN-tagged ARP (V4) or ICMPv6 neighbour advertisements (V6), filtered in the kernel;
  /// sends as well.
  [[nodiscard]] static Result<PacketSocket> tagged_answers(int ifindex, Family family);

  [[nodiscard]] Status send(std::span<const std::uint8_t> frame) const {
    return send_by(ifindex_, frame);
  }
  [[nodiscard]] Status send_by(int ifindex, std::span<const std::uint8_t> frame) const;

  struct Received {
    std::vector<std::uint8_t> frame;
    std::uint16_t vlan = 0;  ///< the tag that the kernel has taken out of the frame; 0: none
  };
  /// The next waiting frame, or nullopt when there is none. Errors: the interface is down or gone.
  [[nodiscard]] Result<std::optional<Received>> receive() const;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  PacketSocket(Fd fd, int ifindex) : fd_(std::move(fd)), ifindex_(ifindex) {}
  Fd fd_;
  int ifindex_;
};

}  // namespace lb
