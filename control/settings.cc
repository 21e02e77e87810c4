// SPDX-License-Identifier: Apache-2.0
#include "control/settings.h"

#include <algorithm>

namespace lb {

const std::array<TimeoutField, kTimeoutFields> kTimeouts{{
    {"established", &Timeouts::established_ms},
    {"syn_sent", &Timeouts::syn_sent_ms},
    {"syn_recv", &Timeouts::syn_recv_ms},
    {"fin_wait", &Timeouts::fin_wait_ms},
    {"time_wait", &Timeouts::time_wait_ms},
    {"close", &Timeouts::close_ms},
    {"close_wait", &Timeouts::close_wait_ms},
    {"last_ack", &Timeouts::last_ack_ms},
    {"listen", &Timeouts::listen_ms},
    {"synack", &Timeouts::synack_ms},
    {"none", &Timeouts::none_ms},
    {"udp", &Timeouts::udp_ms},
    {"sctp", &Timeouts::sctp_ms},
}};
static_assert(sizeof(Timeouts) == kTimeoutFields * sizeof(std::uint32_t), "a timeout has no name");

std::string_view name_of(HealthType type) { return type == HealthType::Tcp ? "tcp" : "none"; }
std::string_view name_of(VipOwner owner) { return owner == VipOwner::Lbd ? "lbd" : "external"; }
std::string_view name_of(Unmatched unmatched) {
  return unmatched == Unmatched::Drop ? "drop" : "pass";
}
std::string_view name_of(IcmpEcho echo) { return echo == IcmpEcho::Reply ? "reply" : "pass"; }
std::string_view name_of(ManualState state) {
  if (state == ManualState::Auto) return "auto";
  return state == ManualState::Up ? "up" : "down";
}
std::string_view name_of(Health health) {
  switch (health) {
    case Health::Unknown:
      return "unknown";
    case Health::Up:
      return "up";
    case Health::Down:
      return "down";
    case Health::Off:
      return "off";
  }
  return "unknown";
}
std::string_view name_of(Origin origin) { return origin == Origin::Config ? "config" : "runtime"; }
std::string_view name_of(Affinity affinity) {
  if (affinity == Affinity::Transition) return "transition";
  return affinity == Affinity::Always ? "always" : "none";
}

ServiceSettings ServiceSettings::defaults(const ServiceAddr& address) {
  ServiceSettings settings;
  bool checkable = address.proto == Proto::Tcp && !address.is_any_port();
  settings.health.type = checkable ? HealthType::Tcp : HealthType::None;
  return settings;
}

bool operator==(const ServiceSettings& a, const ServiceSettings& b) {
  return a.name == b.name && a.scheduler == b.scheduler && a.mh_slots == b.mh_slots &&
         a.transition_ms == b.transition_ms && a.affinity == b.affinity &&
         a.flow_rate == b.flow_rate && a.vip_owner == b.vip_owner &&
         a.vip_unmatched == b.vip_unmatched && a.icmp_echo == b.icmp_echo && a.sorry == b.sorry &&
         a.health == b.health && std::ranges::all_of(kTimeouts, [&](const TimeoutField& field) {
           return a.timeouts.*field.member == b.timeouts.*field.member;
         });
}

namespace {

template <class T>
void put(const std::optional<T>& said, T& target) {
  if (said) target = *said;
}
template <class T>
void lay(const std::optional<T>& newer, std::optional<T>& target) {
  if (newer) target = newer;
}
template <class T>
std::optional<T> changed(const T& from, const T& to) {
  return from == to ? std::nullopt : std::optional<T>(to);
}

}  // namespace

void ServicePatch::apply_to(ServiceSettings& settings) const {
  put(name, settings.name);
  put(scheduler, settings.scheduler);
  put(mh_slots, settings.mh_slots);
  put(transition_ms, settings.transition_ms);
  put(affinity, settings.affinity);
  put(flow_rate, settings.flow_rate);
  put(vip_owner, settings.vip_owner);
  put(vip_unmatched, settings.vip_unmatched);
  put(icmp_echo, settings.icmp_echo);
  put(sorry, settings.sorry);
  put(health.type, settings.health.type);
  put(health.port, settings.health.port);
  put(health.interval_ms, settings.health.interval_ms);
  put(health.timeout_ms, settings.health.timeout_ms);
  put(health.rise, settings.health.rise);
  put(health.fall, settings.health.fall);
  for (std::size_t i = 0; i < kTimeoutFields; ++i) {
    put(timeouts[i], settings.timeouts.*kTimeouts[i].member);
  }
}

void ServicePatch::merge(const ServicePatch& newer) {
  lay(newer.name, name);
  lay(newer.scheduler, scheduler);
  lay(newer.mh_slots, mh_slots);
  lay(newer.transition_ms, transition_ms);
  lay(newer.affinity, affinity);
  lay(newer.flow_rate, flow_rate);
  lay(newer.vip_owner, vip_owner);
  lay(newer.vip_unmatched, vip_unmatched);
  lay(newer.icmp_echo, icmp_echo);
  lay(newer.sorry, sorry);
  lay(newer.health.type, health.type);
  lay(newer.health.port, health.port);
  lay(newer.health.interval_ms, health.interval_ms);
  lay(newer.health.timeout_ms, health.timeout_ms);
  lay(newer.health.rise, health.rise);
  lay(newer.health.fall, health.fall);
  for (std::size_t i = 0; i < kTimeoutFields; ++i) lay(newer.timeouts[i], timeouts[i]);
}

ServicePatch ServicePatch::between(const ServiceSettings& from, const ServiceSettings& to) {
  ServicePatch patch;
  patch.name = changed(from.name, to.name);
  patch.scheduler = changed(from.scheduler, to.scheduler);
  patch.mh_slots = changed(from.mh_slots, to.mh_slots);
  patch.transition_ms = changed(from.transition_ms, to.transition_ms);
  patch.affinity = changed(from.affinity, to.affinity);
  patch.flow_rate = changed(from.flow_rate, to.flow_rate);
  patch.vip_owner = changed(from.vip_owner, to.vip_owner);
  patch.vip_unmatched = changed(from.vip_unmatched, to.vip_unmatched);
  patch.icmp_echo = changed(from.icmp_echo, to.icmp_echo);
  if (from.sorry != to.sorry) patch.sorry = to.sorry;
  patch.health.type = changed(from.health.type, to.health.type);
  patch.health.port = changed(from.health.port, to.health.port);
  patch.health.interval_ms = changed(from.health.interval_ms, to.health.interval_ms);
  patch.health.timeout_ms = changed(from.health.timeout_ms, to.health.timeout_ms);
  patch.health.rise = changed(from.health.rise, to.health.rise);
  patch.health.fall = changed(from.health.fall, to.health.fall);
  for (std::size_t i = 0; i < kTimeoutFields; ++i) {
    auto member = kTimeouts[i].member;
    patch.timeouts[i] = changed(from.timeouts.*member, to.timeouts.*member);
  }
  return patch;
}

ServicePatch ServicePatch::all_of(const ServiceSettings& settings) {
  ServicePatch patch;
  patch.name = settings.name;
  patch.scheduler = settings.scheduler;
  patch.mh_slots = settings.mh_slots;
  patch.transition_ms = settings.transition_ms;
  patch.affinity = settings.affinity;
  patch.flow_rate = settings.flow_rate;
  patch.vip_owner = settings.vip_owner;
  patch.vip_unmatched = settings.vip_unmatched;
  patch.icmp_echo = settings.icmp_echo;
  patch.sorry.emplace(settings.sorry);
  patch.health = {settings.health.type,       settings.health.port, settings.health.interval_ms,
                  settings.health.timeout_ms, settings.health.rise, settings.health.fall};
  for (std::size_t i = 0; i < kTimeoutFields; ++i) {
    patch.timeouts[i] = settings.timeouts.*kTimeouts[i].member;
  }
  return patch;
}

void RsPatch::apply_to(RsSettings& settings) const {
  put(weight, settings.weight);
  put(mac, settings.mac);
  put(vlan, settings.vlan);
  put(port, settings.port);
  put(state, settings.state);
}

void RsPatch::merge(const RsPatch& newer) {
  lay(newer.weight, weight);
  lay(newer.mac, mac);
  lay(newer.vlan, vlan);
  lay(newer.port, port);
  lay(newer.state, state);
}

RsPatch RsPatch::between(const RsSettings& from, const RsSettings& to) {
  RsPatch patch;
  patch.weight = changed(from.weight, to.weight);
  if (from.mac != to.mac) patch.mac = to.mac;
  patch.vlan = changed(from.vlan, to.vlan);
  patch.port = changed(from.port, to.port);
  patch.state = changed(from.state, to.state);
  return patch;
}

RsPatch RsPatch::all_of(const RsSettings& settings) {
  RsPatch patch;
  patch.weight = settings.weight;
  patch.mac.emplace(settings.mac);
  patch.vlan = settings.vlan;
  patch.port = settings.port;
  patch.state = settings.state;
  return patch;
}

IdleTimeout idle_timeout_of(const ServiceAddr& service, const Timeouts& timeouts) {
  if (service.proto == Proto::Udp) return {"udp", timeouts.udp_ms};
  if (service.proto == Proto::Sctp) return {"sctp", timeouts.sctp_ms};
  return {"established", timeouts.established_ms};
}

std::uint32_t transition_window_ms(const ServiceAddr& service, const ServiceSettings& settings) {
  if (settings.transition_ms != 0) return settings.transition_ms;
  return std::max(kTransitionDefaultMs, idle_timeout_of(service, settings.timeouts).ms);
}

bool is_stateless(const ServiceAddr& service, const ServiceSettings& settings) {
  bool remembers = service.proto != Proto::Tcp && settings.affinity == Affinity::Always;
  return is_hashed(settings.scheduler) && !remembers;
}

std::uint16_t check_port(const ServiceAddr& service, const HealthSettings& health) {
  if (health.port != 0) return health.port;
  return service.is_any_port() || service.proto != Proto::Tcp ? 0 : service.port_first;
}

}  // namespace lb
