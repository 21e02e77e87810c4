// SPDX-License-Identifier: Apache-2.0
// Engine: what it tells of itself.
#include <algorithm>

#include "dataplane/io/engine.h"

namespace lb {

/// Those of the workers, then those of the fast path.
std::vector<const Counters*> Engine::counters() const {
  std::vector<const Counters*> all = peers_.counters;
  all.push_back(&kernel_counters_);
  return all;
}

std::vector<PortInfo> Engine::ports() const {
  std::vector<PortInfo> all;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    PortInfo info = ports_[i]->info();
    info.up = info.up && links_[i].load(std::memory_order_relaxed) != LinkState::Gone;
    info.copy_mode = zero_copy_ ? "zero-copy" : "copy";
    info.copy_mode_reason = copy_reason_;
    info.engine = config_.engine == EngineMode::Hybrid ? "hybrid" : "afxdp";
    info.engine_reason = engine_reason(i);
    all.push_back(std::move(info));
  }
  return all;
}

std::vector<WorkerInfo> Engine::workers() const {
  std::vector<WorkerInfo> all;
  for (std::size_t i = 0; i < units_.size(); ++i) {
    const Unit& unit = *units_[i];
    WorkerInfo info;
    info.index = static_cast<WorkerIndex>(i);
    info.cpu = unit.thread->cpu();
    info.idle = idle_kind_name(unit.thread->idle_kind());
    info.generation = tables_.adopted(i);
    info.frames = unit.pool.frames();
    const auto& gauges = unit.worker->gauges();
    info.frames_free = gauges.frames_free.load(std::memory_order_relaxed);
    TickMs heartbeat = gauges.heartbeat.load(std::memory_order_relaxed);
    info.last_step_ms = static_cast<std::uint32_t>(std::max(0, ms_since(tick_ms_now(), heartbeat)));
    info.hugepages = unit.umem.hugepages();
    info.flows4 = unit.path->flows4().size();
    info.flows6 = unit.path->flows6().size();
    for (std::uint32_t port = 0; port < unit.ends->ports(); ++port) {
      info.sockets.push_back(unit.ends->socket(port).stats());
    }
    all.push_back(std::move(info));
  }
  return all;
}

std::vector<BpfObjectInfo> Engine::bpf() const {
  std::vector<BpfObjectInfo> all;
  auto add = [&all, this](const BpfObject& object, const std::string& attached_to) {
    for (auto& held : object.held()) {
      const bool pinned = held.is_map && fast_path_->keeps(held.name);
      bool shared = std::ranges::any_of(all, [&](const auto& other) {
        return other.kind == "map" && held.is_map && other.id == held.id;
      });
      if (shared) continue;
      all.push_back({.kind = held.is_map ? "map" : "program",
                     .name = std::move(held.name),
                     .id = held.id,
                     .type = std::move(held.type),
                     .entries_max = held.entries_max,
                     .memory_bytes = held.memory_bytes,
                     .attached_to = held.is_map ? "" : attached_to,
                     .pinned = pinned});
    }
  };
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const auto& port = ports_[i];
    add(port->program().object(), port->interface());
    if (explainers_[i]) add(explainers_[i]->object(), "");
    const BpfLink& link = port->program().link();
    if (!link) continue;
    all.push_back({.kind = "link",
                   .name = "lb_xdp",
                   .id = link.id(),
                   .type = port->native() ? "xdp native" : "xdp generic",
                   .attached_to = port->interface(),
                   .pinned = link.pinned()});
  }
  for (const FastPath::Object& object : fast_path_->objects()) {
    all.push_back({.kind = "map",
                   .name = object.name,
                   .id = object.id,
                   .type = "array",
                   .entries_max = 1,
                   .memory_bytes = object.bytes,
                   .attached_to = "",
                   .pinned = static_cast<bool>(*pins_)});
  }
  return all;
}

}  // namespace lb
