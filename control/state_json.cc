// SPDX-License-Identifier: Apache-2.0
#include "control/state_json.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <utility>

#include "control/json_settings.h"
#include "control/settings_reader.h"
#include "control/tree_reader.h"

namespace lb {
namespace {

namespace json = boost::json;

json::array key_json(const lb_hash_key& key) {
  return {json_text(fmt::format("{:016x}", key.k0)), json_text(fmt::format("{:016x}", key.k1))};
}

template <class Patch>
json::value basis_json(const std::optional<Patch>& basis) {
  if (!basis) return nullptr;
  return to_json(*basis);
}

json::object rs_json(const IpAddr& address, const OverlayRs& change, std::uint64_t now_ms) {
  json::object out;
  out["address"] = json_text(address.to_string());
  out["basis"] = basis_json(change.basis);
  out["removed"] = change.removed;
  out["draining"] = change.draining;
  if (std::uint64_t deadline = change.drain_deadline_ms; deadline != 0) {
    // 1: it has come, and the drain still has a deadline.
    out["drain_left_ms"] = deadline > now_ms ? deadline - now_ms : 1;
  }
  out["patch"] = to_json(change.patch);
  return out;
}

json::object overlay_json(const Overlay& overlay, std::uint64_t now_ms) {
  json::array services, vips;
  for (const auto& [address, change] : overlay.services) {
    json::object out;
    out["address"] = json_text(address.to_string());
    out["touched"] = change.touched;
    out["removed"] = change.removed;
    out["basis"] = basis_json(change.basis);
    out["patch"] = to_json(change.patch);
    json::array real_servers;
    for (const auto& [rs, rs_change] : change.real_servers) {
      real_servers.push_back(rs_json(rs, rs_change, now_ms));
    }
    out["real_servers"] = std::move(real_servers);
    services.push_back(std::move(out));
  }
  for (const auto& [address, change] : overlay.vips) {
    json::object out;
    out["address"] = json_text(address.to_string());
    out["basis"] = to_json(change.basis);
    out["patch"] = to_json(change.patch);
    vips.push_back(std::move(out));
  }
  json::object all;
  all["services"] = std::move(services);
  all["vips"] = std::move(vips);
  return all;
}

Result<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error == std::errc{} && end == text.data() + text.size() && text.size() == 16) return value;
  return refuse(Refusal::BadRequest, "is not 16 hexadecimal digits");
}

lb_hash_key read_key(TableReader& reader, std::string_view key) {
  lb_hash_key value{};
  const Tree* pair = reader.array(key);
  if (pair == nullptr) return value;
  std::uint64_t words[2] = {};
  bool good = pair->items.size() == 2;
  for (std::size_t i = 0; good && i < 2; ++i) {
    auto word = parse_hex(pair->items[i].text);
    good = word.has_value();
    if (good) words[i] = *word;
  }
  if (!good) reader.problem(key, "is not a pair of 16 hexadecimal digits");
  value.k0 = words[0];
  value.k1 = words[1];
  return value;
}

ServicePatch read_service_part(TableReader& parent, std::string_view key) {
  const Tree* table = parent.table(key);
  if (table == nullptr) return {};
  TableReader reader(*table, parent.path_of(key), parent.problems());
  auto patch = read_service_patch(reader);
  reader.finish();
  return patch;
}
RsPatch read_rs_part(TableReader& parent, std::string_view key) {
  const Tree* table = parent.table(key);
  if (table == nullptr) return {};
  TableReader reader(*table, parent.path_of(key), parent.problems());
  auto patch = read_rs_patch(reader);
  reader.finish();
  return patch;
}

void read_overlay_rs(const Tree& table, Problems& problems, OverlayService& service) {
  TableReader reader(table, "overlay.services.real_servers", problems);
  auto address = read_rs_address(reader);
  OverlayRs change;
  if (!reader.is_null("basis")) change.basis = read_rs_part(reader, "basis");
  change.removed = reader.boolean("removed").value_or(false);
  change.draining = reader.boolean("draining").value_or(false);
  change.drain_deadline_ms = reader.integer("drain_left_ms", 1, 0xffffffff).value_or(0);
  change.patch = read_rs_part(reader, "patch");
  reader.finish();
  if (address) service.real_servers.emplace(*address, std::move(change));
}

void read_overlay_service(const Tree& table, Problems& problems, Overlay& overlay) {
  TableReader reader(table, "overlay.services", problems);
  auto address = read_service_address(reader);
  OverlayService change;
  change.touched = reader.boolean("touched").value_or(false);
  change.removed = reader.boolean("removed").value_or(false);
  if (!reader.is_null("basis")) change.basis = read_service_part(reader, "basis");
  change.patch = read_service_part(reader, "patch");
  for (const Tree* rs : reader.tables("real_servers")) read_overlay_rs(*rs, problems, change);
  reader.finish();
  if (address) overlay.services.emplace(*address, std::move(change));
}

Overlay read_overlay(const Tree& table, Problems& problems) {
  Overlay overlay;
  TableReader reader(table, "overlay", problems);
  for (const Tree* service : reader.tables("services")) {
    read_overlay_service(*service, problems, overlay);
  }
  for (const Tree* vip : reader.tables("vips")) {
    TableReader inner(*vip, "overlay.vips", problems);
    auto address = read_rs_address(inner);
    OverlayVip change{read_service_part(inner, "basis"), read_service_part(inner, "patch")};
    inner.finish();
    if (address) overlay.vips.emplace(*address, std::move(change));
  }
  reader.finish();
  return overlay;
}

/// From what was left at `saved` to a time of the clock `now`.
void set_deadlines(Overlay& overlay, const StateClock& saved, const StateClock& now) {
  const std::uint64_t elapsed = elapsed_ms(saved, now);
  for (auto& [address, service] : overlay.services) {
    for (auto& [rs_address, rs] : service.real_servers) {
      std::uint64_t left = rs.drain_deadline_ms;
      if (left != 0) rs.drain_deadline_ms = now.now_ms + (left > elapsed ? left - elapsed : 1);
    }
  }
}

StateClock read_clock(const Tree& table, Problems& problems) {
  TableReader reader(table, "saved_at", problems);
  StateClock clock;
  clock.boot_id = reader.string("boot_id").value_or("");
  clock.boot_s = reader.integer("boot_s", 0, 0xffffffff).value_or(0);
  clock.wall_s = reader.integer("wall_s", 0, 0xffffffff).value_or(0);
  reader.finish();
  return clock;
}

void read_health(const Tree& table, Problems& problems, HealthMemory& memory) {
  TableReader reader(table, "health", problems);
  reader.require("service", "the service's address");
  reader.require("real_server", "the real server's address");
  auto service = reader.parsed<ServiceAddr>("service", &ServiceAddr::parse);
  auto rs = reader.parsed<IpAddr>("real_server", &IpAddr::parse);
  auto health = reader.word<Health>("health", {{"up", Health::Up}, {"down", Health::Down}});
  reader.finish();
  if (service && rs && health) memory[*service][*rs] = *health;
}

}  // namespace

std::string state_to_json(const State& state, const StateClock& now) {
  json::object keys;
  keys["flow"] = key_json(state.keys.flow);
  keys["service"] = key_json(state.keys.service);
  json::array health;
  for (const auto& [service, real_servers] : state.health) {
    for (const auto& [rs, one] : real_servers) {
      json::object out;
      out["service"] = json_text(service.to_string());
      out["real_server"] = json_text(rs.to_string());
      out["health"] = json_text(name_of(one));
      health.push_back(std::move(out));
    }
  }
  json::object all;
  all["version"] = kStateVersion;
  all["hash_keys"] = std::move(keys);
  all["saved_at"] = json::object{
      {"boot_id", json_text(now.boot_id)}, {"boot_s", now.boot_s}, {"wall_s", now.wall_s}};
  all["panic"] = state.panic;
  all["overlay"] = overlay_json(state.overlay, now.now_ms);
  all["health"] = std::move(health);
  return json::serialize(all) + "\n";
}

Result<State> state_from_json(std::string_view text, const StateClock& now) {
  LB_TRY_ASSIGN(Tree tree, parse_json(text));
  if (tree.kind != Tree::Kind::Table) return refuse(Refusal::BadRequest, "not an object");
  State state;
  Problems problems(Notation::Json, "");
  TableReader reader(tree, "", problems);
  reader.require("version", std::to_string(kStateVersion));
  auto version = reader.integer("version", 0, 0xffffffff);
  if (version && *version != kStateVersion) {
    return refuse(Refusal::BadRequest, fmt::format("version {} is not {}, the one this lbd writes",
                                                   *version, kStateVersion));
  }
  reader.require("hash_keys", "the instance's keys");
  if (const Tree* keys = reader.table("hash_keys")) {
    TableReader inner(*keys, "hash_keys", problems);
    inner.require("flow", "a pair of keys");
    inner.require("service", "a pair of keys");
    state.keys.flow = read_key(inner, "flow");
    state.keys.service = read_key(inner, "service");
    inner.finish();
  }
  if (const Tree* overlay = reader.table("overlay")) {
    state.overlay = read_overlay(*overlay, problems);
  }
  state.panic = reader.boolean("panic").value_or(false);
  StateClock saved = now;  // a file that does not say is taken to be of just now
  if (const Tree* clock = reader.table("saved_at")) saved = read_clock(*clock, problems);
  set_deadlines(state.overlay, saved, now);
  for (const Tree* one : reader.tables("health")) read_health(*one, problems, state.health);
  reader.finish();
  if (!problems.empty()) return problems.refusal(Refusal::BadRequest);
  return state;
}

}  // namespace lb
