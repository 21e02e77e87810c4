// SPDX-License-Identifier: Apache-2.0
#include "control/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "control/config.h"
#include "control/refusal.h"
#include "control/tree.h"
#include "dataplane/base/text.h"
#include "dataplane/base/units.h"

namespace lb {
namespace {

bool is_v4_mapped(const IpAddr& address) {
  static constexpr std::uint8_t kPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return !address.is_v4() && std::memcmp(address.data(), kPrefix, sizeof kPrefix) == 0;
}

std::string_view family_name(const IpAddr& address) { return address.is_v4() ? "IPv4" : "IPv6"; }

/// What an RS and a sorry RS have in common.
std::string backend_misfit(const ServiceAddr& service, const IpAddr& address) {
  if (auto reason = unusable_reason(address); !reason.empty()) {
    return fmt::format("{} is {}; a real server has an address of its own on an attached network",
                       address.to_string(), reason);
  }
  if (address == service.vip) {
    return fmt::format("{} is the VIP itself (write the real server's own address)",
                       address.to_string());
  }
  if (address.family() != service.vip.family()) {
    return fmt::format(
        "{} is {} and the VIP {} is {}: DR forwards packets as they are, so both "
        "must be of one family",
        address.to_string(), family_name(address), service.vip.to_string(),
        family_name(service.vip));
  }
  return {};
}

}  // namespace

std::string unusable_reason(const IpAddr& address) {
  if (address.is_unspecified()) return "the unspecified address";
  if (address.is_loopback()) return "a loopback address";
  if (address.is_multicast()) return "a multicast address";
  if (address.is_broadcast()) return "the broadcast address";
  if (address.is_v4() && address.data()[0] == 0) return "of network 0.0.0.0/8";
  if (is_v4_mapped(address)) return "an IPv4 address mapped into IPv6 (write it as IPv4)";
  if (!address.is_v4() && address.is_link_local())
    return "link-local, which names no host without an interface";
  return {};
}

std::vector<Misfit> check_service_settings(const ServiceAddr& address,
                                           const ServiceSettings& settings) {
  std::vector<Misfit> misfits;
  if (auto reason = unusable_reason(address.vip); !reason.empty()) {
    misfits.push_back(
        {"address", fmt::format("{} is {} and can be no VIP", address.vip.to_string(), reason)});
  }
  const HealthSettings& health = settings.health;
  if (health.type == HealthType::Tcp && check_port(address, health) == 0) {
    misfits.push_back(
        {"health.port",
         fmt::format("is missing: {} has no TCP port of its own to check (give health.port, or "
                     "health.type \"none\")",
                     address.to_string())});
  }
  if (health.timeout_ms > health.interval_ms) {
    misfits.push_back(
        {"health.timeout",
         fmt::format("{} is longer than the interval {}: a check would overlap the next one",
                     format_duration(health.timeout_ms), format_duration(health.interval_ms))});
  }
  if (settings.mh_slots > kMaglevSlotsMax || !is_prime(settings.mh_slots)) {
    misfits.push_back({"mh_slots", fmt::format("{} is not a prime up to {}", settings.mh_slots,
                                               kMaglevSlotsMax)});
  }
  if (auto idle = idle_timeout_of(address, settings.timeouts);
      settings.transition_ms != 0 && settings.transition_ms < idle.ms) {
    misfits.push_back(
        {"transition",
         fmt::format("{} is shorter than timeouts.{}, {}: a slot would close while flows of it are "
                     "only silent (write transition = \"{}\" or more, or leave it out)",
                     format_duration(settings.transition_ms), idle.name, format_duration(idle.ms),
                     format_duration(idle.ms))});
  }
  if (settings.sorry) {
    if (auto what = backend_misfit(address, settings.sorry->address); !what.empty()) {
      misfits.push_back({"sorry.address", std::move(what)});
    }
  }
  return misfits;
}

std::vector<Misfit> check_rs_settings(const ServiceAddr& service, const IpAddr& address,
                                      const RsSettings& settings,
                                      std::span<const std::string> ports) {
  std::vector<Misfit> misfits;
  if (auto what = backend_misfit(service, address); !what.empty()) {
    misfits.push_back({"address", std::move(what)});
  }
  if (settings.weight > kWeightMax) {
    misfits.push_back({"weight", fmt::format("{} is over {}", settings.weight, kWeightMax)});
  }
  if (!settings.port.empty() && std::ranges::find(ports, settings.port) == ports.end()) {
    auto near = nearest(settings.port, ports);
    misfits.push_back(
        {"port", fmt::format("{} is not an attached port{} (attached: {})", quoted(settings.port),
                             near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near),
                             fmt::join(ports, ", "))});
  }
  return misfits;
}

bool ports_clash(const ServiceAddr& a, const ServiceAddr& b) {
  if (a.vip != b.vip || a.proto != b.proto) return false;
  if (a.port_first == b.port_first && a.port_last == b.port_last) return true;
  bool both_ranges = a.is_range() && b.is_range() && !a.is_any_port() && !b.is_any_port();
  return both_ranges && a.port_first <= b.port_last && b.port_first <= a.port_last;
}

}  // namespace lb
