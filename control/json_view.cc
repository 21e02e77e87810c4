// SPDX-License-Identifier: Apache-2.0
// The answers about services, real servers and the daemon. Those about the data plane stand in
// json_view_dataplane.cc.
#include "control/json_view.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "bpf/lb_abi.h"
#include "control/hash_keys.h"
#include "control/json_settings.h"
#include "dataplane/base/assert.h"

namespace lb {
namespace {

namespace json = boost::json;

json::value egress_json(const ViewInput& view, const NextHopKey& key, PortIndex egress) {
  const auto& ports = view.registry.limits().ports;
  bool known = view.next_hops.contains(key) || !key.port.empty();
  if (!known || raw(egress) >= ports.size()) return nullptr;
  return json_text(ports[raw(egress)]);
}

json::object rs_object(const ViewInput& view, const IpAddr& address, const RsEntry& rs) {
  auto key = next_hop_key(address, rs.settings);
  auto hop = next_hop_of(key, rs.settings.mac, view.next_hops, view.registry.limits().ports);
  auto totals = view.stats.rs(rs.id);
  auto reason = why_no_new_flows(rs);
  if (reason.empty() && !hop.mac) reason = "its MAC address is not known yet";
  json::object out = to_json(rs.settings);
  out["address"] = json_text(address.to_string());
  out["id"] = raw(rs.id);
  out["origin"] = json_text(name_of(rs.origin));
  out["health"] = json_text(name_of(rs.health));
  out["health_reason"] = json_text(rs.health_reason);
  out["draining"] = rs.draining;
  out["drain_left_ms"] = nullptr;
  if (rs.draining && rs.drain_deadline_ms != 0) {
    std::uint64_t deadline = rs.drain_deadline_ms;
    out["drain_left_ms"] = deadline > view.now_ms ? deadline - view.now_ms : 0;
  }
  out["resolved_mac"] = to_json(hop.mac);
  out["egress"] = egress_json(view, key, hop.egress);
  out["active"] = totals.active;
  out["inactive"] = totals.inactive;
  out["reason"] = json_text(reason);
  return out;
}

json::object service_object(const ViewInput& view, const ServiceAddr& address,
                            const ServiceEntry& entry) {
  json::object out = to_json(entry.settings);
  out["address"] = json_text(address.to_string());
  out["id"] = raw(entry.id);
  out["origin"] = json_text(name_of(entry.origin));
  out["acl_entries"] = entry.acl.size();
  out["stateless"] = is_stateless(address, entry.settings);
  json::array real_servers;
  for (const auto& [rs_address, rs] : entry.real_servers) {
    real_servers.push_back(rs_object(view, rs_address, rs));
  }
  out["real_servers"] = std::move(real_servers);
  return out;
}

/// `text` as a JSON string that is valid whatever its bytes are: parts of it may come from a
/// request's path.
json::string safe_text(std::string_view text) {
  std::string safe;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte >= 0x7f) {
      safe += fmt::format("\\x{:02x}", byte);
    } else {
      safe += c;
    }
  }
  return json_text(safe);
}

}  // namespace

std::string version_json(const VersionInfo& info) {
  json::object out;
  out["version"] = LB_VERSION;
  out["abi"] = LB_ABI_VERSION;
  out["pid"] = info.pid;
  out["uptime_s"] = info.uptime_s;
  out["generation"] = raw(info.generation);
  out["config"] = json_text(info.config);
  out["hash"] = json_text(name_of(info.hash));
  return json::serialize(out);
}

std::string services_json(const ViewInput& view) {
  json::array services;
  for (const auto& [address, entry] : view.registry.services()) {
    services.push_back(service_object(view, address, entry));
  }
  json::object out;
  out["services"] = std::move(services);
  return json::serialize(out);
}

std::string service_json(const ViewInput& view, const ServiceAddr& service) {
  auto entry = view.registry.service(service);
  LB_ASSERT(entry.has_value());
  return json::serialize(service_object(view, service, **entry));
}

std::string rs_json(const ViewInput& view, const ServiceAddr& service, const IpAddr& rs) {
  auto entry = view.registry.rs(service, rs);
  LB_ASSERT(entry.has_value());
  return json::serialize(rs_object(view, rs, **entry));
}

std::string neighbours_json(std::span<const NeighbourInfo> neighbours) {
  json::array rows;
  for (const NeighbourInfo& neighbour : neighbours) {
    json::object row;
    row["real_server"] = json_text(neighbour.real_server.to_string());
    row["interface"] = json_text(neighbour.interface);
    row["mac"] = to_json(neighbour.mac);
    row["state"] = json_text(neighbour.state);
    row["manual"] = neighbour.manual;
    row["age_ms"] = neighbour.age_ms;
    rows.push_back(std::move(row));
  }
  json::object out;
  out["neighbours"] = std::move(rows);
  return json::serialize(out);
}

std::string memory_json(const MemoryPlan& plan) {
  json::array items;
  for (const MemoryItem& item : plan.items) {
    json::object row;
    row["name"] = json_text(item.name);
    row["bytes"] = item.bytes;
    items.push_back(std::move(row));
  }
  json::object out;
  out["items"] = std::move(items);
  out["lookup_tables"] = plan.tables;
  out["lookup_max_bytes"] = plan.lookup_max_bytes;
  out["total_bytes"] = plan.total_bytes();
  return json::serialize(out);
}

std::string check_json(const Config& config, const MemoryPlan& plan) {
  json::object out;
  out["ok"] = true;
  out["services"] = config.services.size();
  out["real_servers"] = config.real_server_count();
  out["memory_bytes"] = plan.total_bytes();
  return json::serialize(out);
}

std::string reload_json(const ReloadReport& report) {
  json::array changed;
  for (const auto& line : report.changed) changed.push_back(json_text(line));
  for (const auto& line : report.dropped) changed.push_back(json_text(line));
  json::object out;
  out["unchanged"] = changed.empty();
  out["changed"] = std::move(changed);
  return json::serialize(out);
}

std::string panic_json(bool on) {
  json::object out;
  out["on"] = on;
  return json::serialize(out);
}

std::string error_json(const Error& error) {
  json::object inner;
  inner["code"] = json_text(refusal_word(error));
  inner["message"] = safe_text(error.message);
  json::object out;
  out["error"] = std::move(inner);
  return json::serialize(out);
}

}  // namespace lb
