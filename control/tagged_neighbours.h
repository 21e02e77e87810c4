// SPDX-License-Identifier: Apache-2.0
// TaggedNeighbours: lbd's own ARP and neighbour solicitations for real servers behind a VLAN tag,
// for which the kernel has no device. Sends a probe when NeighbourResolver asks for one, tells it
// the answers. Director's thread.
#pragma once

#include <functional>
#include <memory>

#include "control/neighbours.h"
#include "control/networks.h"

namespace boost::asio {
class io_context;
}

namespace lb {

class TaggedNeighbours {
 public:
  using Answered = std::function<void(const NeighbourTarget&, const MacAddr&)>;
  /// `networks` outlives this.
  TaggedNeighbours(boost::asio::io_context& io, const Networks& networks, Answered answered);
  ~TaggedNeighbours();
  TaggedNeighbours(const TaggedNeighbours&) = delete;
  TaggedNeighbours& operator=(const TaggedNeighbours&) = delete;

  /// Sends one probe; a socket on the port is opened at first use. Failures are logged at debug
  /// level: the resolver tries again every second.
  void probe(const NeighbourTarget& target);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace lb
