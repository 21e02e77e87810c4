// SPDX-License-Identifier: Apache-2.0
// Engine: what control asks of it while it runs.
#include <fmt/format.h>

#include <system_error>
#include <tuple>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/xdp_features.h"
#include "dataplane/io/engine.h"

namespace lb {

Result<Generation> Engine::publish(std::unique_ptr<ServiceTable> table) {
  // The workers first: they never decide by an older table than the program that handed a packet
  // over.
  const ServiceTable& published = *table;
  Generation generation = tables_.publish(std::move(table));
  wake_all();
  LB_TRY(fast_path_->install(published));
  if (!live_) LB_TRY(go_live());
  fast_path_->forget_others(published);
  return generation;
}

void Engine::wake_all() noexcept {
  for (auto& unit : units_) unit->thread->wake();
}

Status Engine::set_panic(bool on) {
  // Before go_live() the programs pass everything anyway.
  for (auto& port : ports_) {
    auto set = live_ ? port->program().set_panic(on) : Status{};
    if (set) continue;
    for (auto& other : ports_) std::ignore = other->program().set_panic(panic_);
    return fail_in("interface " + port->interface(), std::move(set).error());
  }
  panic_ = on;
  return {};
}

void Engine::link_changed(PortIndex port, std::optional<bool> up) {
  if (raw(port) >= ports_.size()) return;
  auto& link = links_[raw(port)];
  if (link.load(std::memory_order_relaxed) == LinkState::Gone) return;
  LinkState state = !up ? LinkState::Gone : *up ? LinkState::Up : LinkState::Down;
  link.store(state, std::memory_order_relaxed);
  if (state == LinkState::Up) ports_[raw(port)]->follow_mac();
  if (state != LinkState::Gone) ports_[raw(port)]->follow_queues();
  wake_all();
}

void Engine::watch() {
  if (follow_xdp_features()) {
    if (Status set = set_forwarding(); !set) spdlog::error("{}", set.error().message);
  }
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (links_[i].load(std::memory_order_relaxed) != LinkState::Gone) ports_[i]->follow_queues();
  }
  for (std::size_t i = 0; i < units_.size(); ++i) follow_tx_errors(i);
}

/// True when a port has begun or ceased to take what XDP redirects.
bool Engine::follow_xdp_features() {
  bool changed = false;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const auto features = read_xdp_features(ports_[i]->ifindex());
    if (!features) continue;  // what the kernel does not tell is tried
    if (std::exchange(refuses_xdp_[i], !features->xmit) == refuses_xdp_[i]) continue;
    changed = true;
    if (config_.engine != EngineMode::Hybrid) continue;
    if (refuses_xdp_[i]) {
      spdlog::warn("port {}: {}", ports_[i]->interface(), engine_reason(i));
    } else {
      spdlog::info("port {}: takes frames from XDP now", ports_[i]->interface());
    }
  }
  return changed;
}

/// XDP_TX is the driver's own affair but on a veth, which gives the frame to its other end either
/// way; generic XDP sends by the stack.
bool Engine::sends_by_xdp(std::size_t from, std::size_t to) const {
  if (!refuses_xdp_[to] || !ports_[from]->native()) return true;
  return from == to && ports_[to]->driver() != "veth";
}

/// Why the workers send what leaves by this port; empty: XDP does.
std::string Engine::engine_reason(std::size_t port) const {
  if (config_.engine != EngineMode::Hybrid || !refuses_xdp_[port]) return {};
  if (ports_[port]->driver() == "veth") {
    return "takes no frames from XDP, the workers send what leaves here: the other end of the veth "
           "has neither an XDP program nor GRO (ethtool -K PEER gro on)";
  }
  return fmt::format(
      "takes no redirected frames from XDP, the workers send what comes from other "
      "ports (driver {})",
      ports_[port]->driver());
}

/// Logs an answer to a kick that nothing we know of gives, once for each errno.
void Engine::follow_tx_errors(std::size_t index) {
  Unit& unit = *units_[index];
  for (std::uint32_t port = 0; port < unit.ends->ports(); ++port) {
    const SocketStats stats = unit.ends->socket(port).stats();
    if (stats.tx_error == std::exchange(unit.tx_errors[port], stats.tx_error)) continue;
    spdlog::error(
        "port {}: the kernel refuses to send for worker {}: {} (errno {}, {} times); it is tried "
        "again and again, packets that leave there are dropped meanwhile (tx_link_down)",
        stats.interface, index, std::generic_category().message(stats.tx_error), stats.tx_error,
        stats.tx_refused);
  }
}

}  // namespace lb
