// SPDX-License-Identifier: Apache-2.0
#include "control/toml_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/config_fields.h"
#include "control/hash_keys.h"
#include "dataplane/base/units.h"

namespace lb {
namespace {

std::string_view bool_word(bool value) { return value ? "true" : "false"; }

template <class Owner>
std::string number_text(const NumberField<Owner>& field, const Owner& owner) {
  auto value = owner.*field.member;
  if (field.kind == NumberKind::Duration) return toml_string(format_duration(value));
  return std::to_string(value);
}

class Writer {
 public:
  void head(std::string_view line) { text_ += fmt::format("\n{}\n", line); }
  void key(std::string_view key, const std::string& value) {
    text_ += fmt::format("{} = {}\n", key, value);
  }
  template <class T>
  void word(std::string_view name, const std::optional<T>& value) {
    if (value) key(name, toml_string(name_of(*value)));
  }
  template <class T>
  void number(std::string_view name, const std::optional<T>& value) {
    if (value) key(name, std::to_string(*value));
  }
  void duration(std::string_view name, const std::optional<std::uint32_t>& ms) {
    if (ms) key(name, toml_string(format_duration(*ms)));
  }
  void string(std::string_view name, const std::optional<std::string>& text) {
    if (text) key(name, toml_string(*text));
  }
  std::string take() && { return std::move(text_); }

 private:
  std::string text_ = "# Written by lbd; keys at their default are left out (lbd.toml(5)).\n";
};

std::string sorry_text(const SorrySettings& sorry) {
  auto text = fmt::format("{{ address = \"{}\"", sorry.address.to_string());
  if (sorry.mac) text += fmt::format(", mac = \"{}\"", sorry.mac->to_string());
  if (sorry.vlan != 0) text += fmt::format(", vlan = {}", sorry.vlan);
  return text + " }";
}

void write_health(Writer& out, const HealthPatch& health) {
  if (health == HealthPatch{}) return;
  out.head("[service.health]");
  out.word("type", health.type);
  out.number("port", health.port);
  out.duration("interval", health.interval_ms);
  out.duration("timeout", health.timeout_ms);
  out.number("rise", health.rise);
  out.number("fall", health.fall);
}

std::string acl_text(const Acl& acl) {
  std::string text = "[";
  for (const AclEntry& entry : acl.entries()) {
    text += fmt::format("\n  {{ prefix = \"{}\", ", entry.prefix.to_string());
    text += entry.is_limit() ? fmt::format("limit = {}, burst = {} }},", entry.rate, entry.burst)
                             : fmt::format("action = \"{}\" }},", acl_action(entry));
  }
  return text + "\n]";
}

void write_service(Writer& out, const ConfigService& service) {
  const ServicePatch& patch = service.settings;
  out.head("[[service]]");
  out.key("address", toml_string(service.address.to_string()));
  out.string("name", patch.name);
  if (patch.scheduler) out.key("scheduler", toml_string(scheduler_name(*patch.scheduler)));
  out.number("mh_slots", patch.mh_slots);
  out.duration("transition", patch.transition_ms);
  out.word("affinity", patch.affinity);
  out.number("flow_rate", patch.flow_rate);
  out.word("vip_owner", patch.vip_owner);
  out.word("vip_unmatched", patch.vip_unmatched);
  out.word("icmp_echo", patch.icmp_echo);
  if (patch.sorry && *patch.sorry) out.key("sorry", sorry_text(**patch.sorry));
  if (!service.acl.empty()) out.key("acl", acl_text(service.acl));
  write_health(out, patch.health);
  if (std::ranges::any_of(patch.timeouts, [](const auto& said) { return said.has_value(); })) {
    out.head("[service.timeouts]");
    for (std::size_t i = 0; i < kTimeoutFields; ++i) {
      out.duration(kTimeouts[i].name, patch.timeouts[i]);
    }
  }
  for (const ConfigRealServer& rs : service.real_servers) {
    out.head("[[service.real_server]]");
    out.key("address", toml_string(rs.address.to_string()));
    out.number("weight", rs.settings.weight);
    if (rs.settings.mac && *rs.settings.mac) {
      out.key("mac", toml_string((*rs.settings.mac)->to_string()));
    }
    out.number("vlan", rs.settings.vlan);
    out.string("port", rs.settings.port);
    out.word("state", rs.settings.state);
  }
}

constexpr std::string_view name_of(StopMode mode) {
  switch (mode) {
    case StopMode::Pass:
      return "pass";
    case StopMode::Keep:
      return "keep";
    default:
      return "detach";
  }
}
constexpr std::string_view name_of(EngineMode mode) {
  return mode == EngineMode::Hybrid ? "hybrid" : "afxdp";
}
constexpr std::string_view name_of(XdpMode mode) {
  constexpr std::array<std::string_view, 3> kNames{"auto", "native", "generic"};
  return kNames[static_cast<std::size_t>(mode)];
}
constexpr std::string_view name_of(ZeroCopy mode) {
  constexpr std::array<std::string_view, 3> kNames{"auto", "on", "off"};
  return kNames[static_cast<std::size_t>(mode)];
}

}  // namespace

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::vector<TomlRow> daemon_rows(const Config& config) {
  const DataplaneConfig& dataplane = config.dataplane;
  std::vector<TomlRow> rows{
      {"control", "socket", toml_string(config.control.socket)},
      {"control", "state", toml_string(config.control.state)},
      {"control", "log_level", toml_string(config.control.log_level)},
      {"dataplane", "engine", toml_string(name_of(dataplane.engine))},
      {"dataplane", "pins", toml_string(dataplane.pins)},
      {"dataplane", "stop_mode", toml_string(name_of(dataplane.stop_mode))},
      {"dataplane", "hash", toml_string(name_of(dataplane.hash))},
      {"dataplane", "xdp_mode", toml_string(name_of(dataplane.xdp_mode))},
      {"dataplane", "zero_copy", toml_string(name_of(dataplane.zero_copy))},
      {"dataplane", "need_wakeup", std::string(bool_word(dataplane.need_wakeup))},
      {"dataplane", "hugepages", std::string(bool_word(dataplane.hugepages))},
      {"dataplane", "decrement_ttl", std::string(bool_word(config.decrement_ttl))},
      {"dataplane", "cpus", fmt::format("[{}]", fmt::join(dataplane.cpus, ", "))},
  };
  for (const auto& field : kDataplaneNumbers) {
    rows.push_back({"dataplane", std::string(field.key), number_text(field, dataplane)});
  }
  for (const auto& field : kPathNumbers) {
    rows.push_back({"dataplane", std::string(field.key), number_text(field, dataplane.path)});
  }
  return rows;
}

std::string to_toml(const Config& config) {
  Writer out;
  auto defaults = daemon_rows(Config{});
  auto rows = daemon_rows(config);
  std::string table;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] == defaults[i]) continue;
    if (rows[i].table != table) {
      table = rows[i].table;
      out.head(fmt::format("[{}]", table));
    }
    out.key(rows[i].key, rows[i].value);
  }
  for (const PortConfig& port : config.dataplane.ports) {
    out.head("[[port]]");
    out.key("interface", toml_string(port.interface));
  }
  for (const ConfigService& service : config.services) write_service(out, service);
  return std::move(out).take();
}

Config running_config(const Config& loaded, const Registry& registry) {
  Config config = loaded;
  config.services.clear();
  for (const auto& [address, entry] : registry.services()) {
    ConfigService service;
    service.address = address;
    service.settings = ServicePatch::between(ServiceSettings::defaults(address), entry.settings);
    service.acl = entry.acl;
    for (const auto& [rs_address, rs] : entry.real_servers) {
      RsSettings settings = rs.settings;
      if (rs.draining) settings.weight = 0;
      service.real_servers.push_back({rs_address, RsPatch::between(RsSettings{}, settings)});
    }
    config.services.push_back(std::move(service));
  }
  return config;
}

std::vector<std::string> restart_only_changes(const Config& running, const Config& next) {
  std::vector<std::string> changed;
  auto before = daemon_rows(running);
  auto after = daemon_rows(next);
  for (std::size_t i = 0; i < before.size(); ++i) {
    bool reloads = before[i].key == "decrement_ttl" || before[i].key == "log_level";
    if (before[i] == after[i] || reloads) continue;
    changed.push_back(fmt::format("{}.{} ({} -> {})", before[i].table, before[i].key,
                                  before[i].value, after[i].value));
  }
  auto before_ports = running.port_names();
  auto after_ports = next.port_names();
  if (before_ports != after_ports) {
    changed.push_back(fmt::format("port ({} -> {})", fmt::join(before_ports, ", "),
                                  fmt::join(after_ports, ", ")));
  }
  return changed;
}

}  // namespace lb
