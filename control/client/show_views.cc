// SPDX-License-Identifier: Apache-2.0
#include "control/client/show_views.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/client/escape.h"
#include "control/client/table.h"
#include "dataplane/base/units.h"

namespace lb::client {
namespace {

constexpr Align kRight = Align::Right;

std::string count(JsonView object, std::string_view key, const Style& style) {
  return object.has(key) ? format_count(object.number(key), style.human) : "";
}

std::string duration(JsonView object, std::string_view key) {
  return object.has(key) ? rough_duration(object.number(key)) : "";
}

/// The table, or a sentence when it has no rows.
std::string table_or(const Table& table, std::string_view sentence, const Style& style) {
  return table.empty() ? std::string(sentence) + "\n" : table.render(style.colour);
}

std::string health_words(JsonView service) {
  auto health = service.at("health");
  auto type = health.text("type", "-");
  if (type != "tcp") return type;
  auto text = type + (health.number("port") > 0 ? ":" + health.text("port") : "");
  if (health.has("interval_ms")) text += "/" + duration(health, "interval_ms");
  return text;
}

Cell health_cell(JsonView rs) {
  auto health = rs.text("health", "-");
  if (rs.flag("draining")) return {"draining", Tone::Warn};
  // By hand beats the checks; say so, or nobody finds out why a healthy RS is idle.
  auto state = rs.text("state", "auto");
  if (state != "auto") return {state + " (by hand)", state == "up" ? Tone::Good : Tone::Bad};
  if (health == "up") return {health, Tone::Good};
  return {health, health == "down" ? Tone::Bad : health == "unknown" ? Tone::Warn : Tone::Plain};
}

std::string note_of(JsonView rs) {
  auto reason = rs.text("reason");
  if (rs.flag("draining") && rs.number("drain_left_ms") > 0) {
    reason = fmt::format("{}{}removed in {} at the latest", reason, reason.empty() ? "" : "; ",
                         duration(rs, "drain_left_ms"));
  }
  auto health_reason = rs.text("health_reason");
  if (rs.text("health") == "down" && reason.find(health_reason) == std::string::npos) {
    reason += (reason.empty() ? "" : ": ") + health_reason;
  }
  return reason;
}

std::string mac_of(JsonView rs) {
  auto mac = rs.has("mac") ? rs.text("mac") + " (manual)" : rs.text("resolved_mac");
  if (auto vlan = rs.number("vlan"); vlan > 0) mac += fmt::format(" vlan {}", vlan);
  return mac;
}

Table rs_table() {
  return Table({{"SERVICE"},
                {"REAL SERVER"},
                {"WEIGHT", kRight},
                {"HEALTH"},
                {"ACTIVE", kRight},
                {"INACTIVE", kRight},
                {"MAC"},
                {"EGRESS"},
                {"NOTE"}});
}

void add_rs_rows(Table& table, JsonView service, const Style& style) {
  const bool counted = counts_flows(service);
  for (auto rs : service.items("real_servers")) {
    table.row({service.text("address"),
               rs.text("address"),
               rs.text("weight"),
               health_cell(rs),
               counted ? count(rs, "active", style) : "",
               counted ? count(rs, "inactive", style) : "",
               mac_of(rs),
               rs.text("egress"),
               {note_of(rs), Tone::Warn}});
  }
}

std::string rs_rows_of(const std::vector<JsonView>& services, const Style& style) {
  auto table = rs_table();
  bool uncounted = false;
  for (auto service : services) {
    add_rs_rows(table, service, style);
    uncounted = uncounted || (!counts_flows(service) && !service.items("real_servers").empty());
  }
  return table_or(table, "no real servers (lbctl add-rs SERVICE ADDRESS adds one)", style) +
         std::string(uncounted_note(uncounted));
}

/// "2", or "2 of 4" when some have no socket.
std::string queues_of(JsonView port) {
  auto queues = port.text("queues");
  if (port.number("queues_now") <= port.number("queues")) return queues;
  return queues + " of " + port.text("queues_now");
}

std::string drops_table(JsonView answer, const Style& style, bool all) {
  Table table({{"REASON"},
               {"XDP", kRight},
               {"SOCKETS", kRight},
               {"WORKERS", kRight},
               {"TOTAL", kRight},
               {"WHAT IT MEANS"}});
  for (auto drop : answer.items("drops")) {
    if (!all && drop.number("total") == 0) continue;
    table.row({drop.text("reason"),
               count(drop, "xdp", style),
               count(drop, "sockets", style),
               count(drop, "workers", style),
               {count(drop, "total", style), drop.number("total") > 0 ? Tone::Warn : Tone::Dim},
               drop.text("help")});
  }
  return table_or(table, "no packet was dropped (lbctl show drops --all lists the reasons)", style);
}

}  // namespace

bool takes_new_flows(JsonView rs) { return rs.text("reason").empty() && !rs.flag("draining"); }

std::string vips_view(JsonView answer, const Style& style) {
  Table table({{"SERVICE"},
               {"NAME"},
               {"SCHEDULER"},
               {"RS UP", kRight},
               {"ACTIVE", kRight},
               {"INACTIVE", kRight},
               {"CHECK"},
               {"VIP OWNER"},
               {"FROM"}});
  bool uncounted = false;
  for (auto service : answer.items("services")) {
    auto servers = service.items("real_servers");
    auto up = static_cast<std::size_t>(std::ranges::count_if(servers, takes_new_flows));
    std::uint64_t active = 0;
    std::uint64_t inactive = 0;
    for (auto rs : servers) {
      active += rs.number("active");
      inactive += rs.number("inactive");
    }
    const bool counted = counts_flows(service);
    uncounted = uncounted || !counted;
    auto tone = up == 0 ? Tone::Bad : up < servers.size() ? Tone::Warn : Tone::Good;
    table.row({service.text("address"),
               service.text("name"),
               service.text("scheduler"),
               {fmt::format("{}/{}", up, servers.size()), tone},
               counted ? format_count(active, style.human) : "",
               counted ? format_count(inactive, style.human) : "",
               health_words(service),
               service.text("vip_owner"),
               service.text("origin")});
  }
  return table_or(table, "no services (lbctl add-vip ADDRESS adds one)", style) +
         std::string(uncounted_note(uncounted));
}

std::string rs_view(JsonView answer, const Style& style) {
  return rs_rows_of(answer.items("services"), style);
}

std::string rs_of_service_view(JsonView service, const Style& style) {
  return rs_rows_of({service}, style);
}

std::string flows_view(JsonView answer, const Style& style) {
  Table table({{"PROTO"},
               {"CLIENT"},
               {"VIP"},
               {"REAL SERVER"},
               {"STATE"},
               {"IDLE", kRight},
               {"EXPIRES", kRight},
               {"WORKER", kRight}});
  for (auto flow : answer.items("flows")) {
    table.row({flow.text("proto"), flow.text("client"), flow.text("vip"), flow.text("real_server"),
               flow.text("state"), duration(flow, "idle_ms"), duration(flow, "expires_ms"),
               flow.text("worker")});
  }
  auto text = table_or(table, "no flows", style);
  auto shown = answer.number("shown");
  if (auto total = answer.number("total"); total > shown) {
    text += fmt::format(
        "{} of {} flows shown (--limit {} shows more; --service, --rs and --client "
        "choose)\n",
        shown, total, total);
  }
  return text;
}

std::string ports_view(JsonView answer, const Style& style) {
  Table table({{"PORT"},
               {"LINK"},
               {"MAC"},
               {"MTU", kRight},
               {"DRIVER"},
               {"QUEUES", kRight},
               {"XDP"},
               {"AF_XDP"},
               {"ENGINE"},
               {"PROGRAM", kRight},
               {"PASSED", kRight},
               {"SENT", kRight},
               {"FORWARDED", kRight},
               {"HANDED", kRight},
               {"ALONE", kRight},
               {"DROPPED", kRight},
               {"PANIC PASSED", kRight}});
  std::string reasons;
  for (auto port : answer.items("ports")) {
    bool up = port.flag("up");
    table.row({port.text("interface"),
               {up ? "up" : "DOWN", up ? Tone::Good : Tone::Bad},
               port.text("mac"),
               port.text("mtu"),
               port.text("driver"),
               {queues_of(port), port.text("problem").empty() ? Tone::Plain : Tone::Bad},
               port.text("xdp_mode"),
               port.text("copy_mode"),
               port.text("engine"),
               port.text("program_id"),
               count(port, "passed", style),
               count(port, "sent", style),
               count(port, "forwarded", style),
               count(port, "handed", style),
               {count(port, "alone", style), port.number("alone") > 0 ? Tone::Warn : Tone::Plain},
               count(port, "dropped", style),
               count(port, "panic_passed", style)});
    for (const auto* key :
         {"problem", "xdp_mode_reason", "copy_mode_reason", "engine_reason", "vlan_reason"}) {
      auto reason = printable(port.text(key));
      if (!reason.empty()) reasons += fmt::format("{}: {}\n", port.text("interface"), reason);
    }
  }
  return table_or(table, "no ports", style) + reasons;
}

/// "96/2048": entries in a ring of a socket, and its size.
std::string ring_of(JsonView socket, std::string_view name) {
  auto ring = socket.at("rings").at(name);
  return ring.has("size") ? ring.text("level") + "/" + ring.text("size") : "";
}

std::string workers_view(JsonView answer, const Style& style) {
  Table table({{"WORKER", kRight},
               {"CPU", kRight},
               {"IDLE"},
               {"LAST STEP", kRight},
               {"GENERATION", kRight},
               {"FRAMES FREE", kRight},
               {"FLOWS IPV4", kRight},
               {"FLOWS IPV6", kRight},
               {"PORT"},
               {"RX", kRight},
               {"TX", kRight},
               {"FILL", kRight},
               {"COMPLETION", kRight},
               {"RX RING FULL", kRight},
               {"FILL EMPTY", kRight},
               {"RX DROPPED", kRight},
               {"INVALID", kRight}});
  std::string refusals;
  for (auto worker : answer.items("workers")) {
    auto frames = fmt::format("{}/{}", worker.text("frames_free", "?"), worker.text("frames", "?"));
    auto cpu = worker.text("cpu");
    auto last_step_ms = worker.number("last_step_ms");
    for (auto socket : worker.items("sockets")) {
      auto full = socket.number("rx_ring_full");
      auto invalid = socket.number("rx_invalid_descs") + socket.number("tx_invalid_descs");
      table.row({worker.text("worker"),
                 cpu == "-1" ? "any" : cpu,
                 worker.text("idle"),
                 {worker.has("last_step_ms") ? fmt::format("{} ms", last_step_ms) : "",
                  last_step_ms > kWorkerHangsMs ? Tone::Bad : Tone::Plain},
                 worker.text("generation"),
                 frames,
                 count(worker, "flows4", style),
                 count(worker, "flows6", style),
                 socket.text("interface"),
                 ring_of(socket, "rx"),
                 ring_of(socket, "tx"),
                 ring_of(socket, "fill"),
                 ring_of(socket, "completion"),
                 {count(socket, "rx_ring_full", style), full > 0 ? Tone::Warn : Tone::Plain},
                 count(socket, "rx_fill_ring_empty_descs", style),
                 count(socket, "rx_dropped", style),
                 {format_count(invalid, style.human), invalid > 0 ? Tone::Bad : Tone::Plain}});
      if (auto error = printable(socket.text("tx_error")); !error.empty()) {
        refusals += fmt::format(
            "worker {}, {}: the kernel refused to send {} times, the last: {}\n",
            worker.text("worker"), socket.text("interface"), socket.number("tx_refused"), error);
      }
    }
  }
  return table_or(table, "no workers", style) + refusals;
}

std::string neighbours_view(JsonView answer, const Style& style) {
  Table table({{"REAL SERVER"}, {"PORT"}, {"MAC"}, {"STATE"}, {"AGE", kRight}});
  for (auto neighbour : answer.items("neighbours")) {
    auto state = neighbour.text("state");
    bool bad = state == "failed" || state == "incomplete" || state == "none";
    table.row({neighbour.text("real_server"),
               neighbour.text("interface"),
               neighbour.text("mac"),
               {state, bad                ? Tone::Bad
                       : state == "stale" ? Tone::Warn
                                          : Tone::Good},
               duration(neighbour, "age_ms")});
  }
  return table_or(table, "no neighbours: there are no real servers yet", style);
}

std::string drops_view(JsonView answer, const Style& style) {
  return drops_table(answer, style, false);
}
std::string drops_all_view(JsonView answer, const Style& style) {
  return drops_table(answer, style, true);
}

std::string bpf_view(JsonView answer, const Style& style) {
  Table table({{"KIND"},
               {"ID", kRight},
               {"NAME"},
               {"TYPE"},
               {"ENTRIES MAX", kRight},
               {"MEMORY", kRight},
               {"ATTACHED TO"},
               {"PINNED"}});
  std::uint64_t total = 0;
  for (auto object : answer.items("objects")) {
    total += object.number("memory_bytes");
    table.row(
        {object.text("kind"), object.text("id"), object.text("name"), object.text("type"),
         count(object, "entries_max", style),
         object.has("memory_bytes") ? format_bytes(object.number("memory_bytes"), style.human) : "",
         object.text("attached_to"),
         object.text("kind") == "program" ? ""
         : object.flag("pinned")          ? "yes"
                                          : "no"});
  }
  if (table.empty()) return "no BPF objects\n";
  return table.render(style.colour) + fmt::format("memory in all: {}\n", format_bytes(total, true));
}

std::string memory_view(JsonView answer, const Style& style) {
  Table table({{"WHAT"}, {"SIZE", kRight}, {"BYTES", kRight}});
  for (auto item : answer.items("items")) {
    auto bytes = item.number("bytes");
    table.row({item.text("name"), format_bytes(bytes, true), format_bytes(bytes, false)});
  }
  auto total = answer.number("total_bytes");
  table.row({"total", format_bytes(total, true), format_bytes(total, false)});
  return table.render(style.colour);
}

std::string version_view(JsonView answer, const Style&) {
  return fmt::format("lbd    {} (ABI {}, pid {}, up {}, generation {}, hash {}, config {})\n",
                     answer.text("version", "?"), answer.text("abi", "?"), answer.text("pid", "?"),
                     rough_duration(answer.number("uptime_s") * 1000),
                     answer.text("generation", "?"), printable(answer.text("hash", "?")),
                     printable(answer.text("config", "?")));
}

}  // namespace lb::client
