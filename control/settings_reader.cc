// SPDX-License-Identifier: Apache-2.0
#include "control/settings_reader.h"

#include <fmt/format.h>

#include "dataplane/base/text.h"
#include "dataplane/base/units.h"

namespace lb {
namespace {

HealthPatch read_health(const Tree& table, TableReader& parent) {
  TableReader reader(table, parent.path_of("health"), parent.problems());
  HealthPatch patch;
  patch.type =
      reader.word<HealthType>("type", {{"tcp", HealthType::Tcp}, {"none", HealthType::None}});
  patch.port = reader.integer16("port", 0, 65535);
  patch.interval_ms = reader.duration_ms("interval", kCheckTimeMinMs, kCheckTimeMaxMs);
  patch.timeout_ms = reader.duration_ms("timeout", kCheckTimeMinMs, kCheckTimeMaxMs);
  patch.rise = reader.integer("rise", 1, kCheckCountMax);
  patch.fall = reader.integer("fall", 1, kCheckCountMax);
  reader.finish();
  return patch;
}

std::optional<SorrySettings> read_sorry(const Tree& table, TableReader& parent) {
  TableReader reader(table, parent.path_of("sorry"), parent.problems());
  SorrySettings sorry;
  reader.require("address", "address = \"192.0.2.20\"");
  auto address = reader.parsed<IpAddr>("address", &IpAddr::parse);
  if (!reader.is_null("mac")) sorry.mac = reader.parsed<MacAddr>("mac", &parse_unicast_mac);
  sorry.vlan = reader.integer16("vlan", 0, kVlanMax).value_or(0);
  reader.finish();
  if (!address) return std::nullopt;
  sorry.address = *address;
  return sorry;
}

/// What of its flows a service remembers, and for how long.
void read_flow_memory(TableReader& reader, ServicePatch& patch) {
  patch.transition_ms = reader.duration_ms("transition", 0, kTransitionMaxMs);
  if (patch.transition_ms && *patch.transition_ms != 0 && *patch.transition_ms < kTransitionMinMs) {
    reader.problem(
        reader.problems().notation() == Notation::Json ? "transition_ms" : "transition",
        fmt::format("{} is too short (write {} to {}, or 0: lbd chooses)",
                    format_duration(*patch.transition_ms), format_duration(kTransitionMinMs),
                    format_duration(kTransitionMaxMs)));
    patch.transition_ms.reset();
  }
  patch.affinity = reader.word<Affinity>("affinity", {{"transition", Affinity::Transition},
                                                      {"always", Affinity::Always},
                                                      {"none", Affinity::None}});
  patch.flow_rate = reader.integer("flow_rate", 0, kFlowRateMax);
}

Result<std::string> parse_name(std::string_view text) {
  if (text.size() > kNameMax) {
    return refuse(Refusal::BadRequest,
                  fmt::format("{} is longer than {} bytes", quoted(text), kNameMax));
  }
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return refuse(Refusal::BadRequest, fmt::format("{} has control characters", quoted(text)));
    }
  }
  return std::string(text);
}

}  // namespace

Result<MacAddr> parse_unicast_mac(std::string_view text) {
  auto mac = MacAddr::parse(text);
  if (!mac) {
    return refuse(Refusal::BadRequest,
                  fmt::format("{} is not a MAC address (write 02:00:00:00:00:01)", quoted(text)));
  }
  if (mac->is_zero() || mac->is_multicast()) {
    return refuse(Refusal::BadRequest,
                  fmt::format("{} is {}; the address of one interface belongs here", quoted(text),
                              mac->is_zero() ? "zero" : "a group address"));
  }
  return mac;
}

ServicePatch read_service_patch(TableReader& reader) {
  ServicePatch patch;
  patch.name = reader.parsed<std::string>("name", &parse_name);
  read_flow_memory(reader, patch);
  using enum Scheduler;
  patch.scheduler = reader.word<Scheduler>("scheduler", {{"rr", Rr},
                                                         {"wrr", Wrr},
                                                         {"lc", Lc},
                                                         {"wlc", Wlc},
                                                         {"sed", Sed},
                                                         {"nq", Nq},
                                                         {"sh", Sh},
                                                         {"dh", Dh},
                                                         {"mh", Mh},
                                                         {"fo", Fo},
                                                         {"ovf", Ovf},
                                                         {"twos", Twos}});
  patch.mh_slots = reader.integer("mh_slots", 2, kMaglevSlotsMax);
  if (patch.mh_slots && !is_prime(*patch.mh_slots)) {
    reader.problem("mh_slots", fmt::format("{} is not a prime (write {}, or another prime)",
                                           *patch.mh_slots, kMaglevSlotsDefault));
    patch.mh_slots.reset();
  }
  patch.vip_owner = reader.word<VipOwner>(
      "vip_owner", {{"lbd", VipOwner::Lbd}, {"external", VipOwner::External}});
  patch.vip_unmatched = reader.word<Unmatched>(
      "vip_unmatched", {{"drop", Unmatched::Drop}, {"pass", Unmatched::Pass}});
  patch.icmp_echo =
      reader.word<IcmpEcho>("icmp_echo", {{"reply", IcmpEcho::Reply}, {"pass", IcmpEcho::Pass}});
  if (reader.is_null("sorry")) {
    patch.sorry.emplace(std::nullopt);
  } else if (const Tree* sorry = reader.table("sorry")) {
    if (auto settings = read_sorry(*sorry, reader)) patch.sorry.emplace(*settings);
  }
  if (const Tree* health = reader.table("health")) patch.health = read_health(*health, reader);
  if (const Tree* timeouts = reader.table("timeouts")) {
    TableReader inner(*timeouts, reader.path_of("timeouts"), reader.problems());
    for (std::size_t i = 0; i < kTimeoutFields; ++i) {
      patch.timeouts[i] = inner.duration_ms(kTimeouts[i].name, kTimeoutMinMs, kTimeoutMaxMs);
    }
    inner.finish();
  }
  return patch;
}

RsPatch read_rs_patch(TableReader& reader) {
  RsPatch patch;
  patch.weight = reader.integer("weight", 0, kWeightMax);
  if (reader.is_null("mac")) {
    patch.mac.emplace(std::nullopt);
  } else if (auto mac = reader.parsed<MacAddr>("mac", &parse_unicast_mac)) {
    patch.mac.emplace(*mac);
  }
  patch.vlan = reader.integer16("vlan", 0, kVlanMax);
  if (reader.is_null("port")) {
    patch.port = std::string();
  } else {
    patch.port = reader.string("port");
  }
  patch.state = reader.word<ManualState>(
      "state", {{"auto", ManualState::Auto}, {"up", ManualState::Up}, {"down", ManualState::Down}});
  return patch;
}

std::optional<ServiceAddr> read_service_address(TableReader& reader) {
  reader.require("address", "address = \"192.0.2.10:80/tcp\"");
  auto text = reader.string("address");
  if (!text) return std::nullopt;
  if (auto address = ServiceAddr::parse(*text)) return *address;
  // The parser repeats its input: do not let a hostile one through as it stands.
  auto why = text->size() > kNameMax ? ServiceAddr::parse("").error().message
                                     : ServiceAddr::parse(*text).error().message;
  reader.problem("address", why);
  return std::nullopt;
}

std::optional<IpAddr> read_rs_address(TableReader& reader) {
  reader.require("address", "address = \"192.0.2.20\"");
  auto text = reader.string("address");
  if (!text) return std::nullopt;
  if (auto address = IpAddr::parse(*text)) return *address;
  reader.problem("address", fmt::format("{} is not an IPv4 or IPv6 address (write 192.0.2.20)",
                                        quoted(*text)));
  return std::nullopt;
}

}  // namespace lb
