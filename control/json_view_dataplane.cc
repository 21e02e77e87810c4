// SPDX-License-Identifier: Apache-2.0
// The answers about flows, ports, workers, drops, BPF objects and counters.
#include <boost/json.hpp>
#include <numeric>
#include <system_error>
#include <utility>

#include "control/json_settings.h"
#include "control/json_view.h"
#include "dataplane/table/tcp_state.h"

namespace lb {
namespace {

namespace json = boost::json;

json::string endpoint(const IpAddr& address, std::uint16_t port) {
  auto host = address.is_v4() ? address.to_string() : "[" + address.to_string() + "]";
  return json_text(host + ":" + std::to_string(port));
}

json::object flow_object(const Registry& registry, const FlowRow& row) {
  const FlowInfo& flow = row.flow;
  const ServiceAddr* service = registry.find(flow.data.service);
  auto rs = registry.rs_at_slot(slot_of(flow.data.rs));
  bool current = rs.address != nullptr && (rs.entry == nullptr || rs.entry->id == flow.data.rs);
  json::object out;
  out["worker"] = raw(flow.worker);
  out["proto"] = json_text(proto_name(flow.proto));
  out["client"] = endpoint(flow.client, flow.client_port);
  out["vip"] = endpoint(flow.vip, flow.vip_port);
  out["real_server"] = nullptr;
  if (current) out["real_server"] = json_text(rs.address->to_string());
  out["service"] = nullptr;
  if (service != nullptr) out["service"] = json_text(service->to_string());
  out["state"] = json_text(flow_state_name(flow.data.state));
  out["idle_ms"] = row.idle_ms;
  out["expires_ms"] = row.expires_ms;
  return out;
}

/// struct xdp_statistics, in its order.
struct SocketField {
  const char* name;
  std::uint64_t SocketStats::* member;
};
constexpr std::array<SocketField, 6> kSocketFields = {{
    {"rx_dropped", &SocketStats::rx_dropped},
    {"rx_invalid_descs", &SocketStats::rx_invalid_descs},
    {"tx_invalid_descs", &SocketStats::tx_invalid_descs},
    {"rx_ring_full", &SocketStats::rx_ring_full},
    {"rx_fill_ring_empty_descs", &SocketStats::rx_fill_ring_empty_descs},
    {"tx_ring_empty_descs", &SocketStats::tx_ring_empty_descs},
}};

json::object rings_object(const SocketStats& socket) {
  auto one = [](const SocketStats::Ring& ring) {
    return json::object{{"level", ring.level}, {"size", ring.size}};
  };
  return json::object{{"rx", one(socket.rx)},
                      {"tx", one(socket.tx)},
                      {"fill", one(socket.fill)},
                      {"completion", one(socket.completion)}};
}

json::object socket_object(const SocketStats& socket) {
  json::object out;
  out["interface"] = json_text(socket.interface);
  for (const SocketField& field : kSocketFields) out[field.name] = socket.*field.member;
  out["rings"] = rings_object(socket);
  out["tx_refused"] = socket.tx_refused;
  out["tx_error"] = "";
  if (socket.tx_error != 0) {
    out["tx_error"] = json_text(std::generic_category().message(socket.tx_error));
  }
  return out;
}

std::uint64_t socket_drops(const WorkerInfo& worker, DropReason reason) {
  std::uint64_t sum = 0;
  for (const SocketStats& socket : worker.sockets) sum += socket.drops(reason);
  return sum;
}

json::object drops_object(const std::array<std::uint64_t, kDropReasons>& drops) {
  json::object out;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    auto name = drop_reason_name(static_cast<DropReason>(i));
    out[json::string_view(name.data(), name.size())] = drops[i];
  }
  return out;
}

json::object handovers_object(const std::array<std::uint64_t, kHandReasons>& handed) {
  json::object out;
  for (std::size_t i = 0; i < kHandReasons; ++i) {
    auto name = hand_reason_name(static_cast<HandReason>(i));
    out[json::string_view(name.data(), name.size())] = handed[i];
  }
  return out;
}

std::uint64_t xdp_drops(std::span<const PortInfo> ports, std::size_t reason) {
  std::uint64_t sum = 0;
  for (const PortInfo& port : ports) sum += port.xdp_drops[reason];
  return sum;
}

/// Sums of worker counters and of their sockets' statistics, by field and by reason.
struct WorkerSums {
  std::array<std::uint64_t, kWorkerFields> fields{};
  std::array<std::uint64_t, kDropReasons> drops{};
  std::array<std::uint64_t, kHandReasons> handed{};
  std::array<std::uint64_t, kSocketFields.size()> sockets{};

  void add(const WorkerInfo& worker) {
    for (const SocketStats& socket : worker.sockets) {
      for (std::size_t i = 0; i < sockets.size(); ++i)
        sockets[i] += socket.*kSocketFields[i].member;
    }
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      drops[i] += socket_drops(worker, static_cast<DropReason>(i));
    }
  }
  void add(const WorkerCounters& counters) {
    for (std::size_t i = 0; i < kWorkerFields; ++i) {
      fields[i] += (counters.*kWorkerCounterFields[i].member).get();
    }
    for (std::size_t i = 0; i < kDropReasons; ++i) drops[i] += counters.drops[i].get();
    for (std::size_t i = 0; i < kHandReasons; ++i) handed[i] += counters.handed[i].get();
  }
  [[nodiscard]] json::object to_object() const {
    json::object out;
    for (std::size_t i = 0; i < kWorkerFields; ++i) {
      auto name = kWorkerCounterFields[i].name;
      out[json::string_view(name.data(), name.size())] = fields[i];
    }
    for (std::size_t i = 0; i < sockets.size(); ++i) out[kSocketFields[i].name] = sockets[i];
    out["drops"] = drops_object(drops);
    out["handed"] = handovers_object(handed);
    return out;
  }
};

json::object rs_stats_object(const IpAddr& address, const RsTotals& totals) {
  json::object out;
  out["address"] = json_text(address.to_string());
  out["packets"] = totals.packets;
  out["bytes"] = totals.bytes;
  out["active"] = totals.active;
  out["inactive"] = totals.inactive;
  out["new_flows"] = totals.new_flows;
  return out;
}

json::object service_stats_object(const Stats& stats, const ServiceAddr& address,
                                  const ServiceEntry& entry) {
  auto totals = stats.service(entry.id);
  std::uint64_t flows = 0;
  json::array real_servers;
  for (const auto& [rs_address, rs] : entry.real_servers) {
    auto rs_totals = stats.rs(rs.id);
    flows += rs_totals.active + rs_totals.inactive;
    real_servers.push_back(rs_stats_object(rs_address, rs_totals));
  }
  json::object out;
  out["address"] = json_text(address.to_string());
  out["stateless"] = is_stateless(address, entry.settings);
  out["packets"] = totals.packets;
  out["bytes"] = totals.bytes;
  out["new_flows"] = totals.new_flows;
  out["unknown_flows"] = totals.unknown_flows;
  out["drops"] = totals.drops;
  out["unprotected"] = totals.unprotected;
  out["unremembered"] = totals.unremembered;
  out["real_servers"] = std::move(real_servers);
  out["sorry"] = nullptr;
  if (const auto& sorry = entry.settings.sorry) {
    auto sorry_totals = stats.rs(entry.sorry_id);
    flows += sorry_totals.active + sorry_totals.inactive;
    out["sorry"] = rs_stats_object(sorry->address, sorry_totals);
  }
  out["flows"] = flows;
  return out;
}

}  // namespace

std::string flows_json(const Registry& registry, std::span<const FlowRow> flows,
                       std::uint64_t total) {
  json::array rows;
  for (const FlowRow& row : flows) rows.push_back(flow_object(registry, row));
  json::object out;
  out["flows"] = std::move(rows);
  out["shown"] = flows.size();
  out["total"] = total;
  return json::serialize(out);
}

std::string ports_json(std::span<const PortInfo> ports) {
  json::array rows;
  for (const PortInfo& port : ports) {
    json::object row;
    row["interface"] = json_text(port.interface);
    row["ifindex"] = port.ifindex;
    row["mac"] = json_text(port.mac.to_string());
    row["mtu"] = port.mtu;
    row["up"] = port.up;
    row["driver"] = json_text(port.driver);
    row["xdp_mode"] = json_text(port.xdp_mode);
    row["xdp_mode_reason"] = json_text(port.xdp_mode_reason);
    row["copy_mode"] = json_text(port.copy_mode);
    row["copy_mode_reason"] = json_text(port.copy_mode_reason);
    row["engine"] = json_text(port.engine);
    row["engine_reason"] = json_text(port.engine_reason);
    row["queues"] = port.queues;
    row["queues_now"] = port.queues_now;
    row["problem"] = json_text(port.problem);
    row["vlan_reason"] = json_text(port.vlan_reason);
    row["program_id"] = port.program_id;
    row["passed"] = port.xdp_passed;
    row["sent"] = port.xdp_sent;
    row["forwarded"] = port.xdp_forwarded;
    row["alone"] = port.xdp_alone;
    row["handed"] = port.xdp_handed;
    row["handovers"] = handovers_object(port.handed);
    row["panic_passed"] = port.xdp_panic_passed;
    row["dropped"] =
        std::accumulate(port.xdp_drops.begin(), port.xdp_drops.end(), std::uint64_t{0});
    rows.push_back(std::move(row));
  }
  json::object out;
  out["ports"] = std::move(rows);
  return json::serialize(out);
}

std::string workers_json(std::span<const WorkerInfo> workers) {
  json::array rows;
  for (const WorkerInfo& worker : workers) {
    json::array sockets;
    for (const SocketStats& socket : worker.sockets) sockets.push_back(socket_object(socket));
    json::object row;
    row["worker"] = raw(worker.index);
    row["cpu"] = worker.cpu;
    row["idle"] = json_text(worker.idle);
    row["generation"] = raw(worker.generation);
    row["frames"] = worker.frames;
    row["frames_free"] = worker.frames_free;
    row["last_step_ms"] = worker.last_step_ms;
    row["hugepages"] = worker.hugepages;
    row["flows4"] = worker.flows4;
    row["flows6"] = worker.flows6;
    row["sockets"] = std::move(sockets);
    rows.push_back(std::move(row));
  }
  json::object out;
  out["workers"] = std::move(rows);
  return json::serialize(out);
}

std::string drops_json(std::span<const PortInfo> ports, std::span<const WorkerInfo> workers,
                       const Stats& stats) {
  json::array rows;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    auto reason = static_cast<DropReason>(i);
    std::uint64_t in_xdp = xdp_drops(ports, i);
    std::uint64_t in_workers = stats.drops(reason);
    std::uint64_t in_sockets = 0;
    for (const WorkerInfo& worker : workers) in_sockets += socket_drops(worker, reason);
    json::object row;
    row["reason"] = json_text(drop_reason_name(reason));
    row["help"] = json_text(drop_reason_help(reason));
    row["xdp"] = in_xdp;
    row["sockets"] = in_sockets;
    row["workers"] = in_workers;
    row["total"] = in_xdp + in_sockets + in_workers;
    rows.push_back(std::move(row));
  }
  json::object out;
  out["drops"] = std::move(rows);
  return json::serialize(out);
}

std::string handovers_json(std::span<const PortInfo> ports) {
  std::array<std::uint64_t, kHandReasons> packets{};
  std::uint64_t sent = 0, forwarded = 0, alone = 0, handed = 0;
  for (const PortInfo& port : ports) {
    for (std::size_t i = 0; i < kHandReasons; ++i) packets[i] += port.handed[i];
    sent += port.xdp_sent;
    forwarded += port.xdp_forwarded;
    alone += port.xdp_alone;
    handed += port.xdp_handed;
  }
  json::array rows;
  for (std::size_t i = 0; i < kHandReasons; ++i) {
    auto reason = static_cast<HandReason>(i);
    json::object row;
    row["reason"] = json_text(hand_reason_name(reason));
    row["help"] = json_text(hand_reason_help(reason));
    row["packets"] = packets[i];
    rows.push_back(std::move(row));
  }
  json::object out;
  out["handovers"] = std::move(rows);
  out["handed"] = handed;
  out["sent"] = sent;
  out["forwarded"] = forwarded;
  out["alone"] = alone;
  return json::serialize(out);
}

std::string bpf_json(std::span<const BpfObjectInfo> objects) {
  json::array rows;
  for (const BpfObjectInfo& object : objects) {
    json::object row;
    row["kind"] = json_text(object.kind);
    row["name"] = json_text(object.name);
    row["id"] = object.id;
    row["type"] = json_text(object.type);
    row["entries_max"] = object.entries_max;
    row["memory_bytes"] = object.memory_bytes;
    row["attached_to"] = json_text(object.attached_to);
    row["pinned"] = object.pinned;
    rows.push_back(std::move(row));
  }
  json::object out;
  out["objects"] = std::move(rows);
  return json::serialize(out);
}

std::string stats_json(const ViewInput& view, std::span<const WorkerInfo> workers,
                       std::span<const PortInfo> ports, std::uint64_t time_ns) {
  json::array services;
  for (const auto& [address, entry] : view.registry.services()) {
    services.push_back(service_stats_object(view.stats, address, entry));
  }
  json::array rows;
  WorkerSums total;
  const auto& counters = view.stats.workers();
  for (std::size_t i = 0; i < std::min(counters.size(), workers.size()); ++i) {
    WorkerSums one;
    one.add(counters[i]->worker);
    one.add(workers[i]);
    total.add(counters[i]->worker);
    total.add(workers[i]);
    json::object row = one.to_object();
    row["worker"] = i;
    rows.push_back(std::move(row));
  }
  for (std::size_t i = 0; i < kDropReasons; ++i) total.drops[i] += xdp_drops(ports, i);
  json::object out;
  out["time_ns"] = time_ns;
  out["services"] = std::move(services);
  out["workers"] = std::move(rows);
  out["total"] = total.to_object();
  return json::serialize(out);
}

}  // namespace lb
