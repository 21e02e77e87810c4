// SPDX-License-Identifier: Apache-2.0
// EngineRun: an Engine on veths of a private network namespace, d0 - c0 and d1 - c1, with a table
// made by hand.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/engine.h"
#include "tests/support/packet_builder.h"
#include "tests/support/private_net.h"

namespace lb {

using test::Bytes;
using test::eventually;
using test::PacketBuilder;
using test::PrivateNet;
using test::RawEnd;

inline const MacAddr kRsMac = test::mac("02:00:00:00:00:54");
inline const MacAddr kClientMac = test::mac("02:00:00:00:00:01");

inline DataplaneConfig small_config(std::vector<std::string> interfaces) {
  DataplaneConfig config;
  config.pins.clear();
  for (auto& name : interfaces) config.ports.push_back({std::move(name)});
  config.path.flows_max = 4096;
  config.path.flows_max_v6 = 4096;
  config.path.fragments_max = 64;
  config.services_max = 16;
  config.rs_max = 16;
  return config;
}

/// One UDP service on 192.0.2.10:53 with one RS behind `egress`.
inline std::unique_ptr<ServiceTable> one_service(const Engine& engine, std::uint32_t egress,
                                                 bool with_service = true) {
  ServiceTableSpec spec;
  spec.flow_key = {1, 2};
  for (const auto& port : engine.ports()) spec.ports.push_back({port.mac, port.mtu, true});
  if (with_service) {
    RealServer rs;
    rs.id = make_rs_id(0, 1);
    rs.mac = kRsMac;
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    rs.egress = static_cast<PortIndex>(egress);
    rs.address = test::ip("192.0.2.54");
    spec.real_servers = {rs};
    Service service;
    service.id = make_service_id(0, 1);
    service.rs_count = 1;
    service.address = *ServiceAddr::parse("192.0.2.10:53/udp");
    spec.services = {service};
    spec.vips = {{.address = test::ip("192.0.2.10")}};
  }
  auto table = ServiceTable::build(std::move(spec));
  EXPECT_TRUE(table) << table.error().message;
  return std::move(*table);
}

class EngineRun : public testing::Test {
 protected:
  void SetUp() override {
    if (!net_.valid()) GTEST_SKIP() << "no network namespace: needs CAP_SYS_ADMIN";
    ASSERT_TRUE(PrivateNet::veth("d0", "c0"));
    ASSERT_TRUE(PrivateNet::veth("d1", "c1"));
  }
  void start(const DataplaneConfig& config) {
    auto started = Engine::start(config);
    ASSERT_TRUE(started) << started.error().message;
    engine_ = std::move(*started);
    // A worker gives the kernel frames when it runs; a packet that comes before is lost.
    ASSERT_TRUE(eventually([&] { return total(&WorkerCounters::steps) > 0; }));
  }
  void publish(std::uint32_t egress) {
    auto published = engine_->publish(one_service(*engine_, egress));
    ASSERT_TRUE(published) << published.error().message;
  }
  /// A client's datagram to the VIP, by way of the director's port 0.
  Bytes query(std::uint16_t client_port) const {
    return PacketBuilder("198.51.100.7", "192.0.2.10")
        .ethernet(engine_->ports()[0].mac, kClientMac)
        .udp(client_port, 53)
        .payload(32)
        .build();
  }
  static bool is_for_rs(const Bytes& frame) {
    return frame.size() >= 34 &&
           std::equal(kRsMac.bytes.begin(), kRsMac.bytes.end(), frame.begin());
  }
  /// Whether a query sent into `in` comes out of `out`, rewritten.
  bool goes_through(const RawEnd& in, const RawEnd& out, int limit_ms = 3000) {
    if (!in.send(query(++client_port_))) return false;
    return out.receive(is_for_rs, limit_ms).has_value();
  }
  std::uint64_t total(Counter WorkerCounters::* counter) const {
    std::uint64_t sum = 0;
    for (const auto* counters : engine_->counters()) sum += (counters->worker.*counter).get();
    return sum;
  }
  std::uint64_t drops(DropReason reason) const {
    std::uint64_t sum = 0;
    for (const auto* counters : engine_->counters()) {
      sum += counters->worker.drops[static_cast<std::size_t>(reason)].get();
    }
    return sum;
  }
  /// For messages: what became of packets.
  std::string what_was_counted() const {
    std::string text =
        fmt::format("received {}, sent {}, generation {}", total(&WorkerCounters::rx_packets),
                    total(&WorkerCounters::tx_packets),
                    static_cast<std::uint64_t>(engine_->workers()[0].generation));
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      const auto count = drops(static_cast<DropReason>(i));
      if (count > 0) text += fmt::format(", dropped {} by reason {}", count, i);
    }
    return text;
  }
  static std::string start_error(const DataplaneConfig& config) {
    auto started = Engine::start(config);
    return started ? "" : started.error().message;
  }

  PrivateNet net_;
  std::uint16_t client_port_ = 1000;
  std::unique_ptr<Engine> engine_;
};

}  // namespace lb
