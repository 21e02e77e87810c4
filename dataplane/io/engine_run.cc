// SPDX-License-Identifier: Apache-2.0
// Engine: what control asks of it while it runs.
#include <fmt/format.h>

#include <tuple>

#include "dataplane/io/engine.h"

namespace lb {

Result<Generation> Engine::publish(std::unique_ptr<ServiceTable> table) {
  VipEntries wanted = table->vip_map_entries();
  if (wanted.size() > LB_VIP_ENTRIES_MAX) {
    return fail(E2BIG, fmt::format("the services need {} entries of the XDP program's VIP map; it "
                                   "has {}",
                                   wanted.size(), LB_VIP_ENTRIES_MAX));
  }
  VipMapChange change = vip_map_change(vips_, wanted);
  auto& program = ports_.front()->program();  // the VIP map is shared by all ports
  for (const auto& key : change.remove) {
    if (auto removed = program.delete_vip(key); !removed) {
      restore_vips(change);
      return std::unexpected(std::move(removed).error());
    }
  }
  Generation generation = tables_.publish(std::move(table));
  wake_all();
  if (auto put = put_vips(change.put); !put) {
    // The workers keep the new generation; without VIP entries no packet reaches what is new in it.
    restore_vips(change);
    return std::unexpected(std::move(put).error());
  }
  vips_ = std::move(wanted);
  return generation;
}

Status Engine::put_vips(const VipEntries& entries) {
  auto& program = ports_.front()->program();
  for (const auto& entry : entries) LB_TRY(program.put_vip(entry.key, entry.value));
  return {};
}

/// After a failure in the middle: the map as it was, best effort (the first error is the one that
/// is reported).
void Engine::restore_vips(const VipMapChange& done) {
  auto& program = ports_.front()->program();
  for (const auto& entry : done.put) std::ignore = program.delete_vip(entry.key);
  std::ignore = put_vips(vips_);
}

void Engine::wake_all() noexcept {
  for (auto& unit : units_) unit->thread->wake();
}

Status Engine::set_panic(bool on) {
  for (auto& port : ports_) {
    auto set = port->program().set_panic(on);
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
  wake_all();
}

}  // namespace lb
