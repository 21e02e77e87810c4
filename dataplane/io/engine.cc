// SPDX-License-Identifier: Apache-2.0
// Engine: start and end. What it does while it runs is in engine_run.cc and engine_info.cc.
#include "dataplane/io/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "dataplane/base/log.h"

namespace lb {
namespace {

constexpr std::uint32_t kXdpHeadroom = 256;           // XDP_PACKET_HEADROOM, taken from every chunk
constexpr std::uint32_t kEthernetBytes = 14 + 2 * 4;  // with two VLAN tags

/// Whether a start in zero-copy mode may have failed because of that mode: a driver may refuse it
/// on some queues only, or for want of memory. These are the same in copy mode.
bool may_be_zero_copy(const Error& error) {
  const int value = error.code.value();
  return error.code.category() == std::system_category() && value != EBUSY && value != EPERM &&
         value != EAFNOSUPPORT && value != ENETDOWN && value != ENODEV;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::start(const DataplaneConfig& config) {
  LB_TRY_ASSIGN(auto sizes, ring_sizes(config, static_cast<std::uint32_t>(config.ports.size())));
  LB_TRY_ASSIGN(auto pins, open_pins(config));
  LB_TRY_ASSIGN(auto ports, open_ports(config, *pins));
  const std::uint32_t queues = ports.front()->queues();
  std::unique_ptr<Engine> engine(new Engine(config, std::move(pins), queues));
  engine->ports_ = std::move(ports);
  LB_TRY(engine->make_fast_path());
  // Whatever can fail comes before the ports are attached to: an interface that has another program
  // is not without one for longer than it takes to attach ours, and keeps its own after an error.
  LB_TRY(engine->make_units(sizes));
  LB_TRY(engine->start_units());
  LB_TRY(engine->attach_ports());
  LB_TRY(engine->leave_zero_copy_if_generic(sizes));
  return engine;
}

/// Packets first go to the kernel's stack, or are the programs' alone; then every worker ends
/// before any memory that another one reads goes.
Engine::~Engine() {
  const bool stays = live_ && *pins_ && config_.stop_mode != StopMode::Detach;
  if (stays && config_.stop_mode == StopMode::Pass) std::ignore = set_panic(true);
  for (auto& port : ports_) {
    if (stays) port->leave_as_is();
    port->detach();
  }
  if (stays) leave_to_xdp();
  drop_units();
  if (stays) return;
  fast_path_.reset();
  if (live_ || pins_->names("").empty()) pins_->dissolve();
}

/// From here on the programs decide alone; what they have handed over is still sent.
void Engine::leave_to_xdp() noexcept {
  constexpr auto kLastSteps = std::chrono::milliseconds(20);
  for (auto& port : ports_) {
    for (std::uint32_t queue = 0; queue < units_.size(); ++queue) {
      std::ignore = port->program().set_socket(queue, -1);
    }
  }
  wake_all();
  std::this_thread::sleep_for(kLastSteps);
}

/// An lbd that keeps nothing forwards as well as another: a machine without a bpffs is no error.
Result<std::unique_ptr<PinDir>> Engine::open_pins(const DataplaneConfig& config) {
  if (config.pins.empty()) return std::make_unique<PinDir>();
  auto pins = PinDir::open(config.pins);
  if (pins) return std::make_unique<PinDir>(std::move(*pins));
  if (pins.error().code == std::errc::device_or_resource_busy) return std::unexpected(pins.error());
  if (config.stop_mode != StopMode::Detach) return fail_in("stop_mode", std::move(pins).error());
  spdlog::warn("forwarding ends with lbd, also when it is killed: {}", pins.error().message);
  return std::make_unique<PinDir>();
}

void Engine::drop_units() noexcept {
  for (auto& unit : units_) {
    if (unit->thread) unit->thread->stop();
  }
  units_.clear();
  peers_ = {};
}

Result<std::vector<std::unique_ptr<Port>>> Engine::open_ports(const DataplaneConfig& config,
                                                              const PinDir& pins) {
  std::vector<std::unique_ptr<Port>> ports;
  std::set<std::string> seen;
  for (const auto& port : config.ports) {
    if (!seen.insert(port.interface).second) {
      return fail(EEXIST, fmt::format("interface {} is configured twice", port.interface));
    }
    LB_TRY_ASSIGN(auto opened, Port::open(port, OffloadNotes(config.offload_notes), pins));
    opened->find_link(config.xdp_mode);
    ports.push_back(std::move(opened));
  }
  LB_TRY(check_queues(ports));
  for (const auto& port : ports) {
    if (!config.replace_foreign) LB_TRY(port->check_room());
  }
  return ports;
}

Status Engine::make_fast_path() {
  LB_TRY_ASSIGN(
      fast_path_,
      FastPath::create({.services_max = config_.services_max,
                        .rs_max = config_.rs_max,
                        .queues = ports_.front()->queues(),
                        .buckets4 = FlowTable<FlowKey4>::buckets_for(config_.path.flows_max),
                        .buckets6 = FlowTable<FlowKey6>::buckets_for(config_.path.flows_max_v6),
                        .acl_max = config_.acl_max,
                        .hash = config_.hash},
                       {.dir = *pins_,
                        .flow_key = config_.flow_key,
                        .ifindexes = ifindexes(),
                        .adopt = config_.adopt}));
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    LB_TRY(ports_[i]->load(*fast_path_));
    // Until go_live(), also where the maps that are taken over have services in them.
    LB_TRY(ports_[i]->program().set_panic(true));
    LB_TRY(fast_path_->set_device(static_cast<PortIndex>(i), ports_[i]->ifindex()));
  }
  follow_xdp_features();
  return set_forwarding();
}

Status Engine::set_forwarding() {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    std::uint32_t sends = 0;
    for (std::size_t to = 0; to < ports_.size(); ++to) {
      if (sends_by_xdp(i, to)) sends |= 1U << to;
    }
    LB_TRY(ports_[i]->program().set_forwarding(
        {.port = static_cast<PortIndex>(i),
         .engine = config_.engine == EngineMode::Hybrid ? LB_ENGINE_HYBRID : LB_ENGINE_AFXDP,
         .sends = sends,
         .stale_ms = config_.worker_stale_ms}));
  }
  return {};
}

Status Engine::attach_ports() {
  for (auto& port : ports_) {
    LB_TRY(port->attach(config_.xdp_mode, config_.replace_foreign));
    if (!port->native() && config_.xdp_mode == XdpMode::Auto) {
      spdlog::warn("interface {}: XDP in generic mode, which is slow: {}", port->interface(),
                   port->info().xdp_mode_reason);
    }
    std::uint32_t longest = port->link().mtu + kEthernetBytes;
    if (longest > config_.frame_bytes - kXdpHeadroom) {
      spdlog::warn(
          "interface {}: MTU {}, but frames over {} bytes do not fit frame_bytes = {} and are "
          "dropped; lower the MTU{}",
          port->interface(), port->link().mtu, config_.frame_bytes - kXdpHeadroom,
          config_.frame_bytes, config_.frame_bytes < 4096 ? " or set frame_bytes = 4096" : "");
    }
  }
  return {};
}

Status Engine::make_units(const RingSizes& sizes) {
  for (int cpu : config_.cpus) LB_TRY(run_on_cpu(cpu, [] { return Status{}; }));
  if (config_.zero_copy == ZeroCopy::Off) {
    return make_units_in(false, "zero_copy = \"off\"", sizes);
  }
  if (config_.engine == EngineMode::Hybrid && config_.zero_copy == ZeroCopy::Auto) {
    // On a zero-copy queue the kernel copies each frame that XDP sends, redirects or passes.
    return make_units_in(false, "engine = \"hybrid\": zero-copy would make the fast path copy",
                         sizes);
  }
  std::string why;
  bool warn = false;  // not where the driver just has no such mode
  if (config_.xdp_mode == XdpMode::Generic) {
    why = "xdp_mode = \"generic\"";
  } else {
    auto made = make_units_in(true, "", sizes);
    if (made || !may_be_zero_copy(made.error())) return made;
    why = std::move(made.error().message);
    warn = !units_.empty() || made.error().code != std::errc::operation_not_supported;
  }
  if (config_.zero_copy == ZeroCopy::On) {
    return fail(EOPNOTSUPP, fmt::format("zero_copy = \"on\", but {}", why));
  }
  if (warn) spdlog::warn("copy mode on every queue, which is slower: {}", why);
  return make_units_in(false, std::move(why), sizes);
}

Status Engine::make_units_in(bool zero_copy, std::string copy_reason, const RingSizes& sizes) {
  zero_copy_ = zero_copy;
  copy_reason_ = std::move(copy_reason);
  drop_units();  // what zero-copy mode took before it failed
  for (std::uint32_t i = 0; i < ports_.front()->queues(); ++i) {
    // Frames, rings and flow tables on the worker's own memory node.
    LB_TRY(run_on_cpu(cpu_of(i), [&] { return make_unit(static_cast<WorkerIndex>(i), sizes); }));
  }
  for (auto& unit : units_) unit->path->set_peers(peers_);
  return {};
}

Status Engine::make_unit(WorkerIndex index, const RingSizes& sizes) {
  LB_TRY_ASSIGN(auto umem, Umem::map(sizes.umem_bytes(), config_.hugepages));
  auto unit = std::make_unique<Unit>(std::move(umem), sizes, config_);
  LB_TRY(open_sockets(index, sizes, *unit));
  PipelineOptions options = config_.path;
  options.hugepages = config_.hugepages;
  const FlowMemory flows{.flows4 = fast_path_->flows4(raw(index)),
                         .flows6 = fast_path_->flows6(raw(index))};
  LB_TRY_ASSIGN(unit->path,
                Pipeline::create(index, options, unit->counters, resolve_, flows, tick_ms_now()));
  unit->worker = std::make_unique<Worker<XskEnds>>(
      WorkerSetup<XskEnds, Pipeline>{.index = index,
                                     .batch = config_.batch,
                                     .ends = *unit->ends,
                                     .pool = unit->pool,
                                     .memory = unit->umem.data(),
                                     .path = *unit->path,
                                     .tables = tables_,
                                     .counters = unit->counters,
                                     .links = links_,
                                     .beat = fast_path_->beat(raw(index))});
  peers_.pipelines.push_back(unit->path.get());
  peers_.counters.push_back(&unit->counters);
  units_.push_back(std::move(unit));
  return {};
}

Status Engine::open_sockets(WorkerIndex index, const RingSizes& sizes, Unit& unit) {
  std::vector<std::unique_ptr<XskSocket>> sockets;
  sockets.reserve(ports_.size());
  for (const auto& port : ports_) {
    XskOptions options;
    options.interface = port->interface();
    options.queue = raw(index);
    options.frame_bytes = sizes.frame_bytes;
    options.rx_ring = sizes.rx;
    options.tx_ring = sizes.tx;
    options.fill_ring = sizes.fill;
    options.completion_ring = sizes.completion;
    options.zero_copy = zero_copy_;
    options.need_wakeup = config_.need_wakeup;
    options.busy_poll_us = config_.busy_poll_us;
    LB_TRY_ASSIGN(auto socket, XskSocket::open(options, unit.umem, unit.pool));
    sockets.push_back(std::move(socket));
  }
  unit.ends = std::make_unique<XskEnds>(std::move(sockets));
  return {};
}

Status Engine::make_thread(WorkerIndex index, Unit& unit) {
  std::vector<int> fds;
  fds.reserve(ports_.size());
  for (std::uint32_t port = 0; port < unit.ends->ports(); ++port) {
    fds.push_back(unit.ends->socket(port).fd());
  }
  LB_TRY_ASSIGN(auto idle, make_idle(fds));
  WorkerThreadOptions options;
  options.number = raw(index);
  options.cpu = cpu_of(raw(index));
  options.spin_us = spin_us_for(config_.spin_us, static_cast<std::uint32_t>(units_.size()),
                                usable_cpus(), config_.cpus);
  unit.thread = std::make_unique<WorkerThread>(options, std::move(idle), unit.counters);
  return unit.thread->start(*unit.worker);
}

Status Engine::start_units() {
  for (std::uint32_t i = 0; i < units_.size(); ++i) {
    LB_TRY(make_thread(static_cast<WorkerIndex>(i), *units_[i]));
  }
  return {};
}

/// Only attaching tells that a driver whose sockets take zero-copy mode has no native XDP to go
/// with it.
Status Engine::leave_zero_copy_if_generic(const RingSizes& sizes) {
  auto generic = std::ranges::find_if(ports_, [](const auto& port) { return !port->native(); });
  if (!zero_copy_ || generic == ports_.end()) return {};
  std::string why = fmt::format("{} runs XDP in generic mode", (*generic)->interface());
  if (config_.zero_copy == ZeroCopy::On) {
    return fail(EOPNOTSUPP, fmt::format("zero_copy = \"on\", but {}", why));
  }
  spdlog::warn("copy mode on every queue, which is slower: {}", why);
  LB_TRY(make_units_in(false, std::move(why), sizes));
  return start_units();
}

/// Once there is something to forward by: the sockets of the running workers, then the programs
/// themselves where those of an lbd before ran until now.
Status Engine::go_live() {
  LB_TRY(enter_sockets());
  for (auto& port : ports_) LB_TRY(port->program().set_panic(panic_));
  for (auto& port : ports_) LB_TRY(port->go_live());
  for (auto& port : ports_) port->settle();
  XdpProgram::remove_other_links(*pins_, ifindexes());
  live_ = true;
  return {};
}

std::vector<int> Engine::ifindexes() const {
  std::vector<int> all;
  all.reserve(ports_.size());
  for (const auto& port : ports_) all.push_back(port->ifindex());
  return all;
}

Status Engine::enter_sockets() {
  for (std::uint32_t port = 0; port < ports_.size(); ++port) {
    for (std::uint32_t queue = 0; queue < units_.size(); ++queue) {
      LB_TRY(ports_[port]->program().set_socket(queue, units_[queue]->ends->socket(port).fd()));
    }
  }
  return {};
}

}  // namespace lb
