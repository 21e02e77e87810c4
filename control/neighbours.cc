// SPDX-License-Identifier: Apache-2.0
// NeighbourResolver: when to probe, and which MAC to believe.
#include "control/neighbours.h"

#include <linux/neighbour.h>

#include <set>

namespace lb {
namespace {
constexpr unsigned kUnansweredUntilFailed = 3;
constexpr std::uint16_t kNeverProbe = NUD_PERMANENT | NUD_NOARP;
// In these the kernel is at it by itself, or has just been.
constexpr std::uint16_t kSettled = NUD_REACHABLE | NUD_DELAY | NUD_PROBE;
}  // namespace

void NeighbourResolver::set_targets(std::span<const NeighbourTarget> targets,
                                    std::uint64_t now_ms) {
  std::set<NeighbourTarget> wanted(targets.begin(), targets.end());
  std::erase_if(targets_, [&](const auto& item) { return !wanted.contains(item.first); });
  for (const NeighbourTarget& target : wanted) {
    auto [item, is_new] = targets_.try_emplace(target);
    if (!is_new) continue;
    if (target.vlan == 0 && hooks_.look_up) {
      if (auto entry = hooks_.look_up(target)) on_kernel_entry(target.port, *entry, false, now_ms);
    }
    if (wants_probe(target, item->second, now_ms)) probe(target, item->second, now_ms);
  }
}

bool NeighbourResolver::learn(State& state, const MacAddr& mac) {
  // A multicast MAC (a cluster in that mode) would flood; the table builder refuses it.
  if (mac.is_zero() || mac.is_multicast() || state.mac == mac) return false;
  state.mac = mac;
  return true;
}

bool NeighbourResolver::on_kernel_entry(PortIndex port, const NeighbourEntry& entry, bool gone,
                                        std::uint64_t now_ms) {
  auto item = targets_.find({.address = entry.address, .port = port, .vlan = 0});
  if (item == targets_.end()) return false;
  State& state = item->second;
  state.kernel_state = gone ? std::uint16_t{NUD_NONE} : entry.state;
  if (gone || !entry.has_mac) return false;
  if ((entry.state & (NUD_REACHABLE | NUD_PERMANENT)) != 0) state.confirmed_ms = now_ms;
  return learn(state, entry.mac);
}

bool NeighbourResolver::on_tagged_answer(const NeighbourTarget& target, const MacAddr& mac,
                                         std::uint64_t now_ms) {
  auto item = targets_.find(target);
  if (item == targets_.end()) return false;
  State& state = item->second;
  state.kernel_state = NUD_REACHABLE;
  state.confirmed_ms = now_ms;
  state.unanswered = 0;
  return learn(state, mac);
}

void NeighbourResolver::request(const NeighbourTarget& target, std::uint64_t now_ms) {
  auto item = targets_.find(target);
  if (item != targets_.end()) probe(target, item->second, now_ms);
}

void NeighbourResolver::doubt(const IpAddr& address, std::uint64_t now_ms) {
  auto item = targets_.lower_bound({.address = address, .port = {}, .vlan = 0});
  for (; item != targets_.end() && item->first.address == address; ++item) {
    State& state = item->second;
    if ((state.kernel_state & kNeverProbe) != 0) continue;
    if (state.doubts >= kDoubtsMax || asks_left_ == 0) continue;
    if (state.doubts != 0 && now_ms - state.asked_ms < kProbeIntervalMs / 2) continue;
    --asks_left_;
    ++state.doubts;
    state.asked_ms = now_ms;
    if (hooks_.ask) hooks_.ask(item->first);
  }
}

void NeighbourResolver::trust(const IpAddr& address) {
  auto item = targets_.lower_bound({.address = address, .port = {}, .vlan = 0});
  for (; item != targets_.end() && item->first.address == address; ++item) item->second.doubts = 0;
}

void NeighbourResolver::probe(const NeighbourTarget& target, State& state, std::uint64_t now_ms) {
  if (state.ever_probed && now_ms - state.probed_ms < kProbeIntervalMs / 2) return;
  state.ever_probed = true;
  state.probed_ms = now_ms;
  ++state.unanswered;
  if (hooks_.probe) hooks_.probe(target);
}

bool NeighbourResolver::wants_probe(const NeighbourTarget& target, State& state,
                                    std::uint64_t now_ms) {
  if (target.vlan == 0) return (state.kernel_state & (kNeverProbe | kSettled)) == 0;
  if (state.kernel_state == NUD_REACHABLE && now_ms - state.confirmed_ms < kReachableMs) {
    return false;
  }
  if (state.unanswered > kUnansweredUntilFailed) {
    state.kernel_state = NUD_FAILED;
  } else {
    state.kernel_state = state.mac ? NUD_STALE : NUD_INCOMPLETE;
  }
  return true;
}

void NeighbourResolver::tick(std::uint64_t now_ms) {
  asks_left_ = kProbesPerTick;
  std::size_t left = kProbesPerTick;
  auto item = resume_ ? targets_.lower_bound(*resume_) : targets_.begin();
  resume_.reset();
  for (std::size_t visited = 0; visited < targets_.size(); ++visited, ++item) {
    if (item == targets_.end()) item = targets_.begin();
    if (!wants_probe(item->first, item->second, now_ms)) continue;
    if (left-- == 0) {
      resume_ = item->first;
      return;
    }
    probe(item->first, item->second, now_ms);
  }
}

std::optional<MacAddr> NeighbourResolver::mac(const NeighbourTarget& target) const {
  auto item = targets_.find(target);
  return item == targets_.end() ? std::nullopt : item->second.mac;
}

std::vector<NeighbourView> NeighbourResolver::list(std::uint64_t now_ms) const {
  std::vector<NeighbourView> views;
  for (const auto& [target, state] : targets_) {
    views.push_back({.target = target,
                     .mac = state.mac,
                     .state = neighbour_state_name(state.kernel_state),
                     .age_ms = state.confirmed_ms == 0 ? 0 : now_ms - state.confirmed_ms});
  }
  return views;
}

}  // namespace lb
