// SPDX-License-Identifier: Apache-2.0
// PacketGenerator: an endless, seeded stream of frames for the services of a test: flows of a few
// clients that come again and again, and everything odd that can be in a packet, some of it
// mutated. The same seed gives the same frames. Tests only.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "dataplane/base/addr.h"
#include "tests/support/packet_builder.h"

namespace lb::test {

class PacketGenerator {
 public:
  static constexpr std::size_t kFrameMax = 3000;  ///< what BPF_PROG_TEST_RUN takes

  /// `to`: the MAC of the port of arrival.
  PacketGenerator(std::uint64_t seed, std::vector<ServiceAddr> services, const MacAddr& to)
      : random_(seed), services_(std::move(services)), to_(to) {}

  [[nodiscard]] Bytes next();

 private:
  [[nodiscard]] std::uint32_t one_of(std::size_t count) {
    return static_cast<std::uint32_t>(random_() % count);
  }
  [[nodiscard]] bool once_in(std::uint32_t count) { return one_of(count) == 0; }
  template <class T>
  [[nodiscard]] T any(std::initializer_list<T> values) {
    return values.begin()[one_of(values.size())];
  }
  [[nodiscard]] Bytes structured();
  [[nodiscard]] Bytes icmp_error_to(const ServiceAddr& service, const IpAddr& client);
  [[nodiscard]] Bytes in_pieces(const PacketBuilder& packet);
  void mutate(Bytes& frame);
  void tags(PacketBuilder& packet);
  void headers(PacketBuilder& packet, bool v4);
  void transport(PacketBuilder& packet, Proto proto, std::uint16_t from, std::uint16_t to);
  [[nodiscard]] IpAddr client(bool v4);
  [[nodiscard]] std::uint16_t client_port();
  [[nodiscard]] std::uint16_t port_of(const ServiceAddr& service);
  [[nodiscard]] std::size_t size();

  std::mt19937_64 random_;
  std::vector<ServiceAddr> services_;
  MacAddr to_;
  std::deque<Bytes> waiting_;  // the other fragments of a datagram
};

}  // namespace lb::test
