// SPDX-License-Identifier: Apache-2.0
// HealthBook: the checks of the registry and their Dampeners.
#include "control/health_book.h"

#include <utility>

#include "dataplane/base/log.h"

namespace lb {
namespace {
struct Wanted {
  CheckTarget target;
  HealthSettings health;
  Health known;
};
}  // namespace

std::set<CheckTarget> HealthBook::follow(Registry& registry, std::uint64_t now_ms) {
  std::map<RsId, Wanted> wanted;
  std::map<RsId, std::string> off;
  for (const auto& [address, service] : registry.services()) {
    const HealthSettings& health = service.settings.health;
    if (health.type == HealthType::None) continue;
    std::uint16_t port = check_port(address, health);
    for (const auto& [rs_address, rs] : service.real_servers) {
      if (port == 0) {
        off[rs.id] = "no port to connect to; set health.port";
      } else if (rs.settings.vlan != 0 && !reaches_(rs_address)) {
        off[rs.id] = "behind VLAN " + std::to_string(rs.settings.vlan) +
                     ", which the director's kernel cannot reach; not checked";
      } else {
        wanted.emplace(rs.id, Wanted{.target = {.address = rs_address,
                                                .port = port,
                                                .interval_ms = health.interval_ms,
                                                .timeout_ms = health.timeout_ms},
                                     .health = health,
                                     .known = rs.health});
      }
    }
  }
  for (const auto& [id, reason] : off) registry.set_health(id, Health::Off, reason, now_ms);
  std::erase_if(watched_, [&](const auto& item) { return !wanted.contains(item.first); });
  by_target_.clear();
  std::set<CheckTarget> targets;
  for (const auto& [id, want] : wanted) {
    // What is known (from before a restart, or of an RS whose check was off) is where the dampener
    // starts.
    Health start = want.known == Health::Off ? Health::Up : want.known;
    if (want.known == Health::Off) registry.start_checks(id, now_ms);
    auto [item, is_new] = watched_.try_emplace(
        id, Watched{.target = want.target,
                    .dampener = Dampener(want.health.rise, want.health.fall, start)});
    item->second.target = want.target;
    if (!is_new) item->second.dampener.configure(want.health.rise, want.health.fall);
    by_target_.emplace(want.target, id);
    targets.insert(want.target);
  }
  return targets;
}

bool HealthBook::result(Registry& registry, const CheckTarget& target, bool passed,
                        const std::string& reason, std::uint64_t now_ms) {
  bool changed = false;
  auto [first, last] = by_target_.equal_range(target);
  for (; first != last; ++first) {
    auto item = watched_.find(first->second);
    if (item == watched_.end() || !item->second.dampener.result(passed, now_ms)) continue;
    Health health = item->second.dampener.health();
    if (!registry.set_health(first->second, health, reason, now_ms)) continue;
    changed = true;
    auto ref = registry.rs_at_slot(slot_of(first->second));
    if (ref.service == nullptr) continue;
    spdlog::info("real server {} of {} is {}{}{}", ref.address->to_string(),
                 ref.service->to_string(), name_of(health), reason.empty() ? "" : ": ", reason);
  }
  return changed;
}

}  // namespace lb
