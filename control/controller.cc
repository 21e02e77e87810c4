// SPDX-License-Identifier: Apache-2.0
// Controller: change, publish, or roll back.
#include "control/controller.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/units.h"

namespace lb {
namespace {

constexpr std::uint64_t kScanEveryMs = 5'000;
/// So long the resolver has to find the real servers that an lbd before knew.
constexpr std::uint64_t kLastMacsMs = 10'000;
constexpr std::uint64_t kScanShare = 50;  // walks over all flows take 2 % of the time at most

bool same_ports(const std::vector<EgressPort>& a, const std::vector<EgressPort>& b) {
  return std::ranges::equal(a, b, [](const EgressPort& x, const EgressPort& y) {
    return x.mac == y.mac && x.mtu == y.mtu && x.up == y.up;
  });
}

/// A table or map that is full is the command's fault, not the environment's.
Error as_refusal(Error error) {
  int code = error.code.value();
  bool full = code == E2BIG || code == ENOSPC;
  if (full && error.code.category() == std::system_category()) error.code = Refusal::TableFull;
  return error;
}

HashKeys keys_of(const State& state, const Config& config) {
  HashKeys keys = state.keys;
  keys.flow.kind = config.dataplane.hash;
  return keys;
}

}  // namespace

Controller::Controller(Config config, std::string config_path, State state, Parts parts)
    : config_(std::move(config)),
      config_path_(std::move(config_path)),
      keys_(keys_of(state, config_)),
      parts_(std::move(parts)),
      registry_(limits_of(config_)),
      builder_(keys_, config_.decrement_ttl, parts_.dataplane.table_memory()),
      stats_(parts_.dataplane.counters()),
      health_([this](const IpAddr& rs) { return parts_.networks.kernel_reaches(rs); }),
      started_ms_(parts_.now_ms()) {
  panic_restored_ = state.panic;
  registry_.restore(std::move(state.overlay), std::move(state.health));
  registry_.set_on_link([this](const IpAddr& rs, const RsSettings& settings) -> Status {
    auto egress = parts_.networks.egress_of(rs, settings.port, settings.vlan);
    if (!egress) return refuse(Refusal::NotOnLink, std::move(egress).error().message);
    return {};
  });
  registry_.set_may_be_vip([this](const IpAddr& vip) -> Status {
    Status free = parts_.networks.check_vip(vip);
    if (!free) return refuse(Refusal::Clash, std::move(free).error().message);
    return {};
  });
}

Result<ReloadReport> Controller::start() {
  ReloadReport report;
  if (panic_restored_) {
    LB_TRY(set_panic(true));
    spdlog::warn("panic was on when lbd ended and stays on (lbctl panic off ends it)");
  }
  adopt();
  LB_TRY(change([&]() -> Status {
    LB_TRY_ASSIGN(report, registry_.load(config_.services, parts_.now_ms()));
    return {};
  }));
  return report;
}

/// What an lbd before has left: its tables are what the first ones come from, and what it named
/// keeps its ids, by which the flows know it.
void Controller::adopt() {
  const std::vector<Service> services = parts_.dataplane.adopted();
  std::size_t flows = 0;
  parts_.dataplane.visit_flows([&](const FlowInfo& flow) {
    registry_.saw(flow.data.service, flow.data.rs);
    ++flows;
    return true;
  });
  if (services.empty()) return;
  KnownIds ids;
  for (const Service& service : services) {
    ids.services.emplace(service.address, service.id);
    if (!service.table) continue;
    if (Status taken = builder_.tables().adopt(service); !taken) {
      spdlog::warn("{}: its table is not taken over, its slots start anew: {}",
                   service.address.to_string(), taken.error().message);
      continue;
    }
    for (const TableKeeper::Named& member : TableKeeper::named(*service.table, service.members)) {
      ids.real_servers.emplace(KnownIds::RsName{service.address, member.address, member.sorry},
                               KnownIds::Rs{member.id, member.up});
      if (member.mac) last_macs_[{member.address, member.vlan}] = *member.mac;
    }
  }
  registry_.prefer(std::move(ids));
  spdlog::info("taken over from the lbd before: {} with {}", counted(services.size(), "service"),
               counted(flows, "remembered flow"));
}

Status Controller::change(const std::function<Status()>& operation) {
  std::optional<Registry::Checkpoint> before;
  try {
    before = registry_.checkpoint();
    LB_TRY(operation());
    follow();
    if (Status published = publish(); !published) {
      take_back(*std::exchange(before, std::nullopt));
      return std::unexpected(as_refusal(std::move(published).error()));
    }
  } catch (const std::exception& problem) {
    if (before) take_back(std::move(*before));
    return fail(ENOMEM, fmt::format("{}; nothing has changed", problem.what()));
  }
  if (on_change_) on_change_();
  return {};
}

/// The workers may have the table that was refused: they get the one from before again, now or, if
/// that fails as well, by the next refresh().
void Controller::take_back(Registry::Checkpoint before) noexcept {
  registry_.roll_back(std::move(before));
  // Before the first generation there is none to go back to, and what an lbd before has left goes
  // on.
  if (generation_ == Generation::None) return;
  published_revision_ = 0;
  followed_networks_ = kNotFollowed;
  try {
    follow();
    Status back = publish();
    if (back) return;
    spdlog::error("the state before a refused change is not published yet: {}",
                  back.error().message);
  } catch (const std::exception& problem) {
    spdlog::error("the state before a refused change is not published yet: {}", problem.what());
  }
}

bool Controller::follow() {
  auto checks = health_.follow(registry_, parts_.now_ms());
  followed_networks_ = parts_.networks.revision();
  bool moved = checks != checks_;
  checks_ = std::move(checks);
  return moved;
}

Status Controller::publish() {
  parts_.dataplane.refresh_counters();  // they are the baselines of new ids
  stats_.follow(registry_);
  NextHops next_hops = resolve_next_hops();
  std::vector<EgressPort> ports = egress_ports();
  LB_TRY_ASSIGN(auto table, builder_.build(registry_, next_hops, ports, parts_.now_s()));
  SlotTables slot_tables(*table);
  LB_TRY_ASSIGN(generation_, parts_.dataplane.publish(std::move(table)));
  builder_.published();
  // Only now: refresh() compares with what is published.
  next_hops_ = std::move(next_hops);
  slot_tables_ = std::move(slot_tables);
  ports_ = std::move(ports);
  published_revision_ = registry_.revision();
  return {};
}

Status Controller::refresh() {
  // A VLAN device that came or went decides what the kernel can check.
  bool checks_moved = followed_networks_ != parts_.networks.revision() && follow();
  bool registry_moved = published_revision_ != registry_.revision();
  if (checks_moved && !registry_moved && on_change_) on_change_();
  if (!registry_moved && same_ports(ports_, egress_ports()) && next_hops_ == resolve_next_hops()) {
    return {};
  }
  LB_TRY(publish());
  if (registry_moved && on_change_) on_change_();
  return {};
}

NextHops Controller::resolve_next_hops() {
  NextHops hops;
  std::vector<NeighbourTarget> targets;
  std::vector<std::pair<NextHopKey, NeighbourTarget>> placed;
  for (const auto& [key, needs_mac] : next_hops_needed(registry_)) {
    auto egress = parts_.networks.egress_of(key.address, key.port, key.vlan);
    auto known = next_hops_.find(key);
    if (!egress && known == next_hops_.end()) continue;
    // The port may be without its address for a moment (DHCP): the way to the RS is the same.
    PortIndex port = egress ? *egress : known->second.egress;
    NeighbourTarget target{.address = key.address, .port = port, .vlan = key.vlan};
    if (needs_mac) targets.push_back(target);
    placed.emplace_back(key, target);
  }
  parts_.resolver.set_targets(targets, parts_.now_ms());
  for (const auto& [key, target] : placed) {
    auto mac = parts_.resolver.mac(target);
    const auto last = last_macs_.find({key.address, key.vlan});
    if (!mac && last != last_macs_.end()) mac = last->second;
    hops[key] = NextHop{.mac = mac, .egress = target.port};
  }
  return hops;
}

std::vector<EgressPort> Controller::egress_ports() const {
  std::vector<EgressPort> ports;
  for (const Networks::Port& port : parts_.networks.ports()) {
    ports.push_back(
        {.mac = port.link.mac, .mtu = port.link.mtu, .up = port.exists && port.link.up});
  }
  return ports;
}

Status Controller::add_service(const AddServiceRequest& request) {
  return change([&] { return registry_.add_service(request.address, request.settings); });
}

Status Controller::set_service(const ServiceAddr& service, const ServicePatch& patch) {
  return change([&] { return registry_.set_service(service, patch); });
}

Status Controller::del_service(const ServiceAddr& service) {
  return change([&] { return registry_.del_service(service); });
}

Status Controller::add_rs(const ServiceAddr& service, const AddRsRequest& request) {
  return change([&] { return registry_.add_rs(service, request.address, request.settings); });
}

Status Controller::set_rs(const ServiceAddr& service, const IpAddr& rs, const RsPatch& patch) {
  return change([&] { return registry_.set_rs(service, rs, patch); });
}

Status Controller::del_rs(const ServiceAddr& service, const IpAddr& rs) {
  return change([&] { return registry_.del_rs(service, rs); });
}

Status Controller::add_acl(const ServiceAddr& service, const AddAclRequest& request) {
  std::vector<AclEntry> entries;
  entries.reserve(request.prefixes.size());
  for (const IpPrefix& prefix : request.prefixes) {
    entries.push_back({.prefix = prefix, .rate = request.rate, .burst = request.burst});
  }
  return change([&] { return registry_.add_acl(service, std::move(entries)); });
}

Status Controller::del_acl(const ServiceAddr& service, const std::vector<IpPrefix>& prefixes) {
  return change([&] { return registry_.del_acl(service, prefixes); });
}

Status Controller::clear_acl(const ServiceAddr& service) {
  return change([&] { return registry_.clear_acl(service); });
}

Status Controller::drain_rs(const ServiceAddr& service, const IpAddr& rs,
                            std::uint64_t timeout_ms) {
  return change([&] { return registry_.drain_rs(service, rs, timeout_ms, parts_.now_ms()); });
}

Result<ReloadReport> Controller::reload() {
  LB_TRY_ASSIGN(Config next, Config::load(config_path_));
  std::vector<std::string> fixed = restart_only_changes(config_, next);
  if (!fixed.empty()) {
    std::string keys;
    for (const std::string& key : fixed) keys += (keys.empty() ? "" : ", ") + key;
    return refuse(
        Refusal::BadConfig,
        config_path_ + ": " + keys + " cannot change while lbd runs; restart lbd, or put it back");
  }
  ReloadReport report;
  builder_.set_decrement_ttl(next.decrement_ttl);
  Status done = change([&]() -> Status {
    LB_TRY_ASSIGN(report, registry_.load(next.services, parts_.now_ms()));
    return {};
  });
  if (!done) {
    builder_.set_decrement_ttl(config_.decrement_ttl);
    return std::unexpected(std::move(done).error());
  }
  config_ = std::move(next);
  return report;
}

Status Controller::set_panic(bool on) {
  LB_TRY(parts_.dataplane.set_panic(on));
  ++panic_changes_;
  spdlog::warn("panic is {}", on ? "on: every packet goes to the kernel" : "off");
  return {};
}

void Controller::on_check(const CheckTarget& target, bool passed, const std::string& reason) {
  if (passed) {
    parts_.resolver.trust(target.address);
  } else {
    parts_.resolver.doubt(target.address, parts_.now_ms());
  }
  if (!health_.result(registry_, target, passed, reason, parts_.now_ms())) return;
  if (Status done = refresh(); !done) {
    spdlog::error("a health change is not published yet: {}", done.error().message);
  }
}

void Controller::end_drains() {
  auto rest_of = [this](const ServiceAddr& service, RsId rs) -> DrainRest {
    return {.flows = stats_.flows_of_slot(slot_of(rs)),
            .unseen = builder_.tables().is_old(service, rs)};
  };
  auto ended = registry_.drains_over(parts_.now_ms(), rest_of);
  if (ended.empty()) return;
  Status done = change([&]() -> Status {
    registry_.remove_drained(ended);
    return {};
  });
  std::string error = done ? std::string{} : done.error().message;
  if (error != drain_error_ && !done) {
    spdlog::error("{} drained real server(s) cannot be removed yet: {}", ended.size(), error);
  }
  drain_error_ = std::move(error);
  if (!done) return;
  for (const DrainEnd& end : ended) {
    spdlog::info("real server {} of {} is drained and removed; {} flows were left",
                 end.real_server.to_string(), end.service.to_string(), end.flows_left);
  }
}

/// Open slots whose time is over close, closed ones are rid of exceptions that nobody needs.
void Controller::end_transitions() {
  const auto deadline = builder_.tables().next_deadline_s();
  const bool due = deadline && *deadline <= parts_.now_s();
  const bool cleared = scan_exceptions();
  if (!due && !cleared) return;
  Status done = publish();
  std::string error = done ? std::string{} : done.error().message;
  if (error != transition_error_ && !done) {
    spdlog::error("slots in transition cannot be closed yet: {}", error);
  }
  transition_error_ = std::move(error);
}

bool Controller::scan_exceptions() {
  TableKeeper& tables = builder_.tables();
  const std::uint64_t began = parts_.now_ms();
  if (!tables.has_exceptions() || began < next_scan_ms_) return false;
  for (const WorkerInfo& worker : parts_.dataplane.workers()) {
    if (worker.generation < generation_) return false;
  }
  ExceptionScan scan = tables.scan(keys_.flow);
  parts_.dataplane.visit_flows([&scan](const FlowInfo& flow) {
    scan.see(flow);
    return true;
  });
  const std::uint64_t took = parts_.now_ms() - began;
  next_scan_ms_ = began + std::max(kScanEveryMs, took * kScanShare);
  return tables.take(scan);
}

void Controller::tick() {
  if (parts_.now_ms() - started_ms_ > kLastMacsMs) last_macs_.clear();
  end_drains();
  end_transitions();
  for (std::uint32_t slot : parts_.dataplane.take_resolve_requests()) {
    Registry::RsRef ref = registry_.rs_at_slot(slot);
    if (ref.address == nullptr) continue;
    NextHopKey key{.address = *ref.address, .vlan = 0, .port = {}};
    if (ref.entry != nullptr) {
      key = next_hop_key(*ref.address, ref.entry->settings);
    } else if (auto service = registry_.service(*ref.service);
               service && (*service)->settings.sorry) {
      key = next_hop_key(*(*service)->settings.sorry);
    }
    auto egress = parts_.networks.egress_of(key.address, key.port, key.vlan);
    if (!egress) continue;
    parts_.resolver.request({.address = key.address, .port = *egress, .vlan = key.vlan},
                            parts_.now_ms());
  }
}

State Controller::state() const {
  return {.keys = keys_,
          .overlay = registry_.overlay(),
          .health = registry_.health_memory(),
          .panic = parts_.dataplane.panic()};
}

ViewInput Controller::view() const {
  parts_.dataplane.refresh_counters();
  return {
      .registry = registry_, .stats = stats_, .next_hops = next_hops_, .now_ms = parts_.now_ms()};
}

VersionInfo Controller::version() const {
  return {.pid = ::getpid(),
          .uptime_s = (parts_.now_ms() - started_ms_) / 1000,
          .generation = generation_,
          .config = config_path_,
          .hash = config_.dataplane.hash};
}

std::vector<NeighbourInfo> Controller::neighbours() const {
  std::vector<NeighbourInfo> rows;
  for (const NeighbourView& view : parts_.resolver.list(parts_.now_ms())) {
    rows.push_back({.real_server = view.target.address,
                    .interface = parts_.networks.port(view.target.port).interface,
                    .mac = view.mac,
                    .state = view.state,
                    .manual = false,
                    .age_ms = view.age_ms});
  }
  std::set<std::pair<IpAddr, MacAddr>> manual;
  auto add_manual = [&](const NextHopKey& key, const std::optional<MacAddr>& mac) {
    if (!mac || !manual.emplace(key.address, *mac).second) return;
    NextHop hop = next_hop_of(key, mac, next_hops_, registry_.limits().ports);
    rows.push_back({.real_server = key.address,
                    .interface = parts_.networks.port(hop.egress).interface,
                    .mac = mac,
                    .state = "manual",
                    .manual = true,
                    .age_ms = 0});
  };
  for (const auto& [address, service] : registry_.services()) {
    for (const auto& [rs, entry] : service.real_servers) {
      add_manual(next_hop_key(rs, entry.settings), entry.settings.mac);
    }
    if (const auto& sorry = service.settings.sorry) add_manual(next_hop_key(*sorry), sorry->mac);
  }
  return rows;
}

}  // namespace lb
