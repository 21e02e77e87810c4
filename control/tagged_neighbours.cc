// SPDX-License-Identifier: Apache-2.0
// TaggedNeighbours: one packet socket per port and address family, watched by Asio.
#include "control/tagged_neighbours.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <utility>

#include "control/arp_nd.h"
#include "control/packet_socket.h"
#include "dataplane/base/log.h"

namespace lb {
namespace asio = boost::asio;

namespace {
constexpr int kFramesPerWakeup = 256;

struct Watch {
  Watch(asio::io_context& io, PacketSocket packet_socket, int index)
      : socket(std::move(packet_socket)), descriptor(io, socket.fd()), ifindex(index) {}
  ~Watch() { descriptor.release(); }  // the socket owns the file descriptor
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  PacketSocket socket;
  asio::posix::stream_descriptor descriptor;
  int ifindex;
};
}  // namespace

struct TaggedNeighbours::Impl : std::enable_shared_from_this<Impl> {
  using Key = std::pair<PortIndex, Family>;
  asio::io_context& io;
  const Networks& networks;
  Answered answered;
  std::map<Key, std::shared_ptr<Watch>> watches;

  Impl(asio::io_context& context, const Networks& nets, Answered on_answer)
      : io(context), networks(nets), answered(std::move(on_answer)) {}

  Result<std::shared_ptr<Watch>> watch_of(const Key& key) {
    const Networks::Port& port = networks.port(key.first);
    if (!port.exists) return fail(ENODEV, "port " + port.interface + " does not exist");
    auto found = watches.find(key);
    if (found != watches.end() && found->second->ifindex == port.link.ifindex) return found->second;
    LB_TRY_ASSIGN(PacketSocket socket, PacketSocket::tagged_answers(port.link.ifindex, key.second));
    auto watch = std::make_shared<Watch>(io, std::move(socket), port.link.ifindex);
    watches[key] = watch;
    wait(key, watch);
    return watch;
  }

  void wait(Key key, const std::shared_ptr<Watch>& watch) {
    watch->descriptor.async_wait(
        asio::posix::stream_descriptor::wait_read,
        [weak = weak_from_this(), key, watch](boost::system::error_code error) {
          auto self = weak.lock();
          if (error || !self || !self->drain(key, *watch)) return;
          self->wait(key, watch);
        });
  }

  /// False when the socket is of no more use (the interface is gone); the next probe opens another.
  bool drain(const Key& key, const Watch& watch) {
    for (int i = 0; i < kFramesPerWakeup; ++i) {
      auto received = watch.socket.receive();
      if (!received) {
        if (received.error().code.value() == ENETDOWN)
          return true;  // said once when the link goes down
        watches.erase(key);
        return false;
      }
      if (!*received) return true;
      auto answer = parse_resolve_answer((*received)->frame);
      if (!answer) continue;
      std::uint16_t vlan = (*received)->vlan != 0 ? (*received)->vlan : answer->vlan;
      answered({.address = answer->address, .port = key.first, .vlan = vlan}, answer->mac);
    }
    return true;
  }
};

TaggedNeighbours::TaggedNeighbours(asio::io_context& io, const Networks& networks,
                                   Answered answered)
    : impl_(std::make_shared<Impl>(io, networks, std::move(answered))) {}

TaggedNeighbours::~TaggedNeighbours() {
  for (auto& [key, watch] : impl_->watches) {
    boost::system::error_code ignored;
    watch->descriptor.cancel(ignored);
  }
}

void TaggedNeighbours::probe(const NeighbourTarget& target) {
  auto watch = impl_->watch_of({target.port, target.address.family()});
  Status sent = {};
  if (!watch) {
    sent = std::unexpected(watch.error());
  } else {
    IpAddr unspecified =
        target.address.is_v4() ? IpAddr::v4(Be32{}) : IpAddr::v6(std::array<char, 16>{}.data());
    IpAddr source = impl_->networks.source_for(target.port, target.address).value_or(unspecified);
    sent = (*watch)->socket.send(resolve_frame(impl_->networks.port(target.port).link.mac, source,
                                               target.address, target.vlan));
  }
  if (!sent) {
    spdlog::debug("probe of {} behind VLAN {}: {}", target.address.to_string(), target.vlan,
                  sent.error().message);
  }
}

}  // namespace lb
