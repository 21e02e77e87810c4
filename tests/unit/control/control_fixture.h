// SPDX-License-Identifier: Apache-2.0
// What several tests of control build: addresses from text, and a registry with one service and
// some real servers.
#pragma once

#include <string>

#include "control/registry.h"

namespace lb {

inline ServiceAddr service_addr(const std::string& text) {
  return ServiceAddr::parse(text).value();
}
inline IpAddr ip(const std::string& text) { return IpAddr::parse(text).value(); }
inline MacAddr mac(const std::string& text) { return MacAddr::parse(text).value(); }

inline RegistryLimits small_limits() { return {8, 16, {"eth0", "eth1"}}; }

/// RsPatch and ServicePatch with one thing said.
inline RsPatch rs_weight(std::uint32_t weight) {
  RsPatch patch;
  patch.weight = weight;
  return patch;
}
inline RsPatch rs_state(ManualState state) {
  RsPatch patch;
  patch.state = state;
  return patch;
}
inline ServicePatch with_scheduler(Scheduler scheduler) {
  ServicePatch patch;
  patch.scheduler = scheduler;
  return patch;
}
inline ServicePatch unchecked() {
  ServicePatch patch;
  patch.health.type = HealthType::None;
  return patch;
}

inline const ServiceAddr kWeb = service_addr("192.0.2.10:80/tcp");
inline const IpAddr kRs1 = ip("192.0.2.21");
inline const IpAddr kRs2 = ip("192.0.2.22");
inline const IpAddr kRs3 = ip("192.0.2.23");

/// The services of a config file's text.
inline std::vector<ConfigService> file_of(const std::string& services) {
  return Config::parse(
             "[[port]]\ninterface = \"eth0\"\n[[port]]\ninterface = \"eth1\"\n" + services,
             "lbd.toml")
      .value()
      .services;
}

}  // namespace lb
