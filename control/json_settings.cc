// SPDX-License-Identifier: Apache-2.0
#include "control/json_settings.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

namespace lb {
namespace {

namespace json = boost::json;

template <class T>
void put_word(json::object& out, std::string_view key, const std::optional<T>& value) {
  if (value) out[json::string_view(key.data(), key.size())] = json_text(name_of(*value));
}
template <class T>
void put_number(json::object& out, std::string_view key, const std::optional<T>& value) {
  if (value) out[json::string_view(key.data(), key.size())] = std::uint64_t{*value};
}

json::value sorry_json(const std::optional<SorrySettings>& sorry) {
  if (!sorry) return nullptr;
  json::object out;
  out["address"] = json_text(sorry->address.to_string());
  out["mac"] = to_json(sorry->mac);
  out["vlan"] = sorry->vlan;
  return out;
}

json::object health_json(const HealthPatch& health) {
  json::object out;
  put_word(out, "type", health.type);
  put_number(out, "port", health.port);
  put_number(out, "interval_ms", health.interval_ms);
  put_number(out, "timeout_ms", health.timeout_ms);
  put_number(out, "rise", health.rise);
  put_number(out, "fall", health.fall);
  return out;
}

}  // namespace

json::value to_json(const std::optional<MacAddr>& mac) {
  if (!mac) return nullptr;
  return json_text(mac->to_string());
}

json::object to_json(const ServicePatch& patch) {
  json::object out;
  if (patch.name) out["name"] = json_text(*patch.name);
  if (patch.scheduler) out["scheduler"] = json_text(scheduler_name(*patch.scheduler));
  put_number(out, "mh_slots", patch.mh_slots);
  put_number(out, "transition_ms", patch.transition_ms);
  put_word(out, "affinity", patch.affinity);
  put_number(out, "flow_rate", patch.flow_rate);
  put_word(out, "vip_owner", patch.vip_owner);
  put_word(out, "vip_unmatched", patch.vip_unmatched);
  put_word(out, "icmp_echo", patch.icmp_echo);
  if (patch.sorry) out["sorry"] = sorry_json(*patch.sorry);
  if (auto health = health_json(patch.health); !health.empty()) out["health"] = std::move(health);
  json::object timeouts;
  for (std::size_t i = 0; i < kTimeoutFields; ++i) {
    put_number(timeouts, fmt::format("{}_ms", kTimeouts[i].name), patch.timeouts[i]);
  }
  if (!timeouts.empty()) out["timeouts"] = std::move(timeouts);
  return out;
}

json::object to_json(const RsPatch& patch) {
  json::object out;
  put_number(out, "weight", patch.weight);
  if (patch.mac) out["mac"] = to_json(*patch.mac);
  put_number(out, "vlan", patch.vlan);
  if (patch.port) {
    out["port"] = patch.port->empty() ? json::value(nullptr) : json::value(json_text(*patch.port));
  }
  put_word(out, "state", patch.state);
  return out;
}

json::object to_json(const ServiceSettings& settings) {
  return to_json(ServicePatch::all_of(settings));
}
json::object to_json(const RsSettings& settings) { return to_json(RsPatch::all_of(settings)); }

}  // namespace lb
