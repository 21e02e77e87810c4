// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/client/stats.h"
#include "control/client/table.h"
#include "dataplane/base/units.h"

namespace lb::client {
namespace {

constexpr Align kRight = Align::Right;
constexpr std::array<std::string_view, 6> kServiceCounters{
    "packets", "bytes", "new_flows", "drops", "unprotected", "unremembered"};
constexpr std::array<std::string_view, 3> kRsCounters{"packets", "bytes", "new_flows"};

/// Counters of a service that have a column only when one of the services has counted any.
struct RareCounter {
  std::string_view key, title;
};
constexpr std::array<RareCounter, 2> kRareCounters{
    {{"unprotected", "UNPROTECTED"}, {"unremembered", "UNREMEMBERED"}}};

std::vector<RareCounter> rare_counters(JsonView answer) {
  std::vector<RareCounter> counted;
  auto services = answer.items("services");
  for (const RareCounter& rare : kRareCounters) {
    auto has = [&](JsonView service) { return service.number(rare.key) > 0; };
    if (std::ranges::any_of(services, has)) counted.push_back(rare);
  }
  return counted;
}

/// The element of `list` whose "address" is that of `like`; nothing when there is none.
JsonView same_address(const std::vector<JsonView>& list, JsonView like) {
  auto address = like.text("address");
  for (auto item : list) {
    if (item.text("address") == address) return item;
  }
  return {};
}

double seconds_between(JsonView before, JsonView now) {
  auto a = before.number("time_ns");
  auto b = now.number("time_ns");
  return b > a ? static_cast<double>(b - a) / 1e9 : 0;
}

double rate_of(JsonView before, JsonView now, std::string_view key, double seconds) {
  auto a = before.number(key);
  auto b = now.number(key);
  return seconds > 0 && b > a ? static_cast<double>(b - a) / seconds : 0;
}

Cell warn_cell(std::string text, bool any) {
  return {std::move(text), any ? Tone::Warn : Tone::Plain};
}

/// The real servers of a ServiceStats object, and its sorry server when there is one.
std::vector<std::pair<std::string, JsonView>> servers_of(JsonView service) {
  std::vector<std::pair<std::string, JsonView>> servers;
  for (auto rs : service.items("real_servers")) servers.emplace_back(rs.text("address"), rs);
  if (auto sorry = service.at("sorry"); sorry.has("address")) {
    servers.emplace_back(sorry.text("address") + " (sorry)", sorry);
  }
  return servers;
}

/// The one of `servers` with this name; nothing when there is none.
JsonView named(const std::vector<std::pair<std::string, JsonView>>& servers,
               const std::string& name) {
  for (const auto& [other, view] : servers) {
    if (other == name) return view;
  }
  return {};
}

}  // namespace

std::string counters_view(JsonView now, const Style& style) {
  std::vector<Column> columns{{"SERVICE"},          {"REAL SERVER"},       {"PACKETS", kRight},
                              {"BYTES", kRight},    {"NEW FLOWS", kRight}, {"ACTIVE", kRight},
                              {"INACTIVE", kRight}, {"DROPS", kRight}};
  const auto rare = rare_counters(now);
  for (const RareCounter& one : rare) columns.push_back({std::string(one.title), kRight});
  Table table(std::move(columns));
  auto n = [&](JsonView object, std::string_view key) {
    return object.has(key) ? format_count(object.number(key), style.human) : std::string();
  };
  bool uncounted = false;
  for (auto service : now.items("services")) {
    auto servers = servers_of(service);
    std::uint64_t active = 0;
    std::uint64_t inactive = 0;
    for (const auto& [name, rs] : servers) {
      active += rs.number("active");
      inactive += rs.number("inactive");
    }
    auto address = service.text("address");
    const bool counted = counts_flows(service);
    uncounted = uncounted || !counted;
    std::vector<Cell> cells{address,
                            "",
                            n(service, "packets"),
                            n(service, "bytes"),
                            n(service, "new_flows"),
                            counted ? format_count(active, style.human) : "",
                            counted ? format_count(inactive, style.human) : "",
                            warn_cell(n(service, "drops"), service.number("drops") > 0)};
    for (const RareCounter& one : rare) {
      cells.push_back(warn_cell(n(service, one.key), service.number(one.key) > 0));
    }
    table.row(std::move(cells));
    for (const auto& [name, rs] : servers) {
      cells = {{address, Tone::Dim},
               name,
               n(rs, "packets"),
               n(rs, "bytes"),
               n(rs, "new_flows"),
               counted ? n(rs, "active") : "",
               counted ? n(rs, "inactive") : "",
               ""};
      cells.resize(cells.size() + rare.size(), "");
      table.row(std::move(cells));
    }
  }
  if (table.empty()) return "no services\n";
  return table.render(style.colour) + std::string(uncounted_note(uncounted));
}

std::string rates_view(JsonView before, JsonView now, const Style& style) {
  std::vector<Column> columns{{"SERVICE"},         {"REAL SERVER"},         {"PACKETS/S", kRight},
                              {"BYTES/S", kRight}, {"NEW FLOWS/S", kRight}, {"DROPS/S", kRight}};
  const auto rare = rare_counters(now);
  for (const RareCounter& one : rare) columns.push_back({std::string(one.title) + "/S", kRight});
  Table table(std::move(columns));
  double seconds = seconds_between(before, now);
  auto old_services = before.items("services");
  for (auto service : now.items("services")) {
    auto old = same_address(old_services, service);
    auto address = service.text("address");
    auto r = [&](JsonView from, JsonView to, std::string_view key) {
      return format_rate(rate_of(from, to, key, seconds), style.human);
    };
    auto warn = [&](std::string_view key) {
      return warn_cell(r(old, service, key), rate_of(old, service, key, seconds) > 0);
    };
    std::vector<Cell> cells{address,
                            "",
                            r(old, service, "packets"),
                            r(old, service, "bytes"),
                            r(old, service, "new_flows"),
                            warn("drops")};
    for (const RareCounter& one : rare) cells.push_back(warn(one.key));
    table.row(std::move(cells));
    auto old_servers = servers_of(old);
    for (const auto& [name, rs] : servers_of(service)) {
      auto was = named(old_servers, name);
      cells = {{address, Tone::Dim},    name, r(was, rs, "packets"), r(was, rs, "bytes"),
               r(was, rs, "new_flows"), ""};
      cells.resize(cells.size() + rare.size(), "");
      table.row(std::move(cells));
    }
  }
  return table.empty() ? "no services\n" : table.render(style.colour);
}

std::string worker_counters_view(JsonView now, const Style& style) {
  auto workers = now.items("workers");
  std::vector<Column> columns{{"COUNTER"}};
  std::vector<std::string> names;
  auto want = [&](const std::string& name, JsonView value) {
    if (value.number() > 0 && std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  for (std::size_t i = 0; i < workers.size(); ++i) {
    columns.push_back(
        {fmt::format("WORKER {}", workers[i].text("worker", fmt::format("{}", i))), kRight});
    for (const auto& [key, value] : workers[i].members()) {
      if (key == "worker") continue;
      const auto groups = value.members();  // "drops" and "handed", by reason
      if (groups.empty()) want(key, value);
      for (const auto& [reason, n] : groups) want(fmt::format("{}.{}", key, reason), n);
    }
  }
  Table table(columns);
  for (const auto& name : names) {
    std::vector<Cell> cells{{name}};
    for (auto worker : workers) {
      const auto dot = name.find('.');
      auto n = dot == std::string::npos
                   ? worker.number(name)
                   : worker.at(name.substr(0, dot)).number(name.substr(dot + 1));
      const bool drop = name.starts_with("drops.") && n > 0;
      cells.emplace_back(format_count(n, style.human), drop ? Tone::Warn : Tone::Plain);
    }
    table.row(std::move(cells));
  }
  return table.empty() ? "the workers have counted nothing yet\n" : table.render(style.colour);
}

JsonObject rates_json(JsonView before, JsonView now) {
  double seconds = seconds_between(before, now);
  JsonObject out;
  out.set_real("interval_s", seconds);
  auto put = [&](JsonObject& object, JsonView from, JsonView to, const auto& keys) {
    object.set("address", to.text("address"));
    for (auto key : keys) {
      object.set_real(std::string(key) + "_per_s", rate_of(from, to, key, seconds));
    }
  };
  auto old_services = before.items("services");
  for (auto service : now.items("services")) {
    auto old = same_address(old_services, service);
    JsonObject one;
    put(one, old, service, kServiceCounters);
    auto old_servers = old.items("real_servers");
    for (auto rs : service.items("real_servers")) {
      JsonObject server;
      put(server, same_address(old_servers, rs), rs, kRsCounters);
      one.append("real_servers", server);
    }
    out.append("services", one);
  }
  return out;
}

JsonObject only_service(JsonView answer, std::string_view address) {
  JsonObject out;
  out.set_view("time_ns", answer.at("time_ns"));
  // Appending nothing makes the empty list that a reader expects.
  out.append_view("services", {});
  for (auto service : answer.items("services")) {
    if (service.text("address") == address) out.append_view("services", service);
  }
  return out;
}

}  // namespace lb::client
