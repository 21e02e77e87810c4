// SPDX-License-Identifier: Apache-2.0
// ControlWorld: a Controller over a FakeDataplane, with two ports on known networks and a clock
// that the test turns. For control's unit tests and the API fuzzer. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control/controller.h"
#include "tests/support/fake_dataplane.h"

namespace lb {

struct ControlWorld {
  /// `text` is the config; eth0 is on 192.168.1.0/24 and 2001:db8:1::/64, eth1 on 10.0.0.0/24.
  explicit ControlWorld(const std::string& text = kTwoPorts,
                        std::string path = "/nonexistent/lbd.toml", State state = {})
      : controller(*Config::parse(text, "test.toml"), std::move(path), std::move(state),
                   {.dataplane = dataplane,
                    .networks = networks,
                    .resolver = resolver,
                    .now_ms = [this] { return now_ms; },
                    .now_s = [this] { return now_s; }}) {}

  static constexpr const char* kTwoPorts =
      "[[port]]\ninterface = \"eth0\"\n[[port]]\ninterface = \"eth1\"\n";

  static LinkEntry link(int ifindex, const std::string& name) {
    LinkEntry entry;
    entry.ifindex = ifindex;
    entry.name = name;
    entry.mac = MacAddr{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(ifindex)}};
    entry.mtu = 1500;
    entry.up = true;
    return entry;
  }
  static InterfaceAddress address(int ifindex, const std::string& ip, std::uint8_t prefix_length,
                                  std::uint8_t origin = 0) {
    return {.ifindex = ifindex,
            .address = *IpAddr::parse(ip),
            .prefix_length = prefix_length,
            .origin = origin};
  }
  static Networks two_networks() {
    Networks all({"eth0", "eth1"});
    all.reset({link(2, "eth0"), link(3, "eth1"), link(1, "lo")},
              {address(1, "127.0.0.1", 8), address(2, "192.168.1.129", 24),
               address(2, "2001:db8:1::129", 64), address(2, "fe80::129", 64),
               address(3, "10.0.0.1", 24)});
    return all;
  }

  /// The kernel resolves an RS on eth0.
  bool resolve(const std::string& ip, const MacAddr& mac,
               std::uint16_t state = 2 /* NUD_REACHABLE */) {
    NeighbourEntry entry;
    entry.ifindex = 2;
    entry.address = *IpAddr::parse(ip);
    entry.mac = mac;
    entry.has_mac = true;
    entry.state = state;
    return resolver.on_kernel_entry(PortIndex{0}, entry, false, now_ms);
  }

  std::uint64_t now_ms = 1'000'000;
  std::uint32_t now_s = 5'000;  ///< of the boot clock
  FakeDataplane dataplane{{"eth0", "eth1"}};
  Networks networks = two_networks();
  std::vector<NeighbourTarget> probes, asked;
  NeighbourResolver resolver{
      {.probe = [this](const NeighbourTarget& target) { probes.push_back(target); },
       .ask = [this](const NeighbourTarget& target) { asked.push_back(target); },
       .look_up = {}}};
  Controller controller;
};

}  // namespace lb
