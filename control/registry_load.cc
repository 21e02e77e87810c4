// SPDX-License-Identifier: Apache-2.0
// Registry's start and reload: file and overlay become the desired state, and what stays keeps ids
// and health.
#include <fmt/format.h>

#include <utility>

#include "control/registry.h"
#include "dataplane/base/assert.h"
#include "dataplane/table/service_table.h"

namespace lb {
namespace {

/// The health of an RS that is new to the registry.
Health initial_health(const ServiceSettings& settings, const HealthMemory& memory,
                      const ServiceAddr& service, const IpAddr& address) {
  if (settings.health.type == HealthType::None) return Health::Off;
  auto at = memory.find(service);
  if (at == memory.end()) return Health::Unknown;
  auto rs = at->second.find(address);
  return rs == at->second.end() ? Health::Unknown : rs->second;
}

/// Takes over what a reload must not lose.
void keep(RsEntry& next, const RsEntry& now, HealthType type) {
  next.id = now.id;
  next.health = now.health;
  next.health_reason = now.health_reason;
  next.health_since_ms = now.health_since_ms;
  if (next.draining && now.draining) {
    next.drain_since_ms = now.drain_since_ms;
    next.drain_deadline_ms = now.drain_deadline_ms;
  }
  if (type == HealthType::None) {
    next.health = Health::Off;
    next.health_reason.clear();
  } else if (next.health == Health::Off) {
    next.health = Health::Up;  // it was in service unchecked; the first check decides
    next.health_reason = "the checks were just turned on";
  }
}

const RsEntry* find_in(const ServiceEntry* service, const IpAddr& address) {
  if (service == nullptr) return nullptr;
  auto at = service->real_servers.find(address);
  return at == service->real_servers.end() ? nullptr : &at->second;
}

const ServiceEntry* find_in(const ServiceMap& services, const ServiceAddr& address) {
  auto at = services.find(address);
  return at == services.end() ? nullptr : &at->second;
}

bool same_sorry(const ServiceEntry* a, const ServiceEntry& b) {
  return a != nullptr && a->settings.sorry && b.settings.sorry &&
         a->settings.sorry->address == b.settings.sorry->address;
}

void changes_of_rs(const ServiceAddr& service, const ServiceEntry& now, const ServiceEntry& next,
                   std::vector<std::string>& out) {
  auto of = service.to_string();
  for (const auto& [address, rs] : next.real_servers) {
    const RsEntry* before = find_in(&now, address);
    if (before == nullptr) {
      out.push_back(fmt::format("real server {} of {} added", address.to_string(), of));
    } else if (before->settings != rs.settings || before->draining != rs.draining) {
      out.push_back(fmt::format("real server {} of {} changed", address.to_string(), of));
    }
  }
  for (const auto& [address, rs] : now.real_servers) {
    if (!next.real_servers.contains(address)) {
      out.push_back(fmt::format("real server {} of {} removed", address.to_string(), of));
    }
  }
}

}  // namespace

void Registry::restore(Overlay overlay, HealthMemory health) {
  restored_ = std::move(overlay);
  restored_health_ = std::move(health);
}

void Registry::prefer(KnownIds ids) {
  std::erase_if(ids.services,
                [this](const auto& one) { return !service_slots_.claim(raw(one.second)); });
  std::erase_if(ids.real_servers,
                [this](const auto& one) { return !rs_slots_.claim(raw(one.second.id)); });
  known_ = std::move(ids);
}

void Registry::saw(ServiceId service, RsId rs) noexcept {
  service_slots_.saw(raw(service));
  rs_slots_.saw(raw(rs));
}

/// The slots of known ids that nobody has any more are free again.
void Registry::forget_unwanted_ids(const ServiceMap& next) {
  std::erase_if(known_.services, [&](const auto& one) {
    if (next.contains(one.first)) return false;
    service_slots_.give_back(slot_of(one.second));
    return true;
  });
  std::erase_if(known_.real_servers, [&](const auto& one) {
    const KnownIds::RsName& rs = one.first;
    const ServiceEntry* service = find_in(next, rs.service);
    const bool wanted =
        service != nullptr &&
        (rs.sorry ? service->settings.sorry && service->settings.sorry->address == rs.address
                  : service->real_servers.contains(rs.address));
    if (!wanted) rs_slots_.give_back(slot_of(one.second.id));
    return !wanted;
  });
}

ServiceId Registry::service_id_for(const ServiceAddr& address) {
  if (auto known = known_.services.extract(address)) return known.mapped();
  return static_cast<ServiceId>(service_slots_.take());
}

KnownIds::Rs Registry::known_or_new(const KnownIds::RsName& rs) {
  if (auto known = known_.real_servers.extract(rs)) return known.mapped();
  return {.id = static_cast<RsId>(rs_slots_.take()), .up = false};
}

std::vector<std::string> Registry::changes_to(const ServiceMap& next) const {
  std::vector<std::string> changes;
  for (const auto& [address, entry] : next) {
    const ServiceEntry* now = find_in(services_, address);
    if (now == nullptr) {
      changes.push_back(fmt::format("service {} added with {} real servers", address.to_string(),
                                    entry.real_servers.size()));
      continue;
    }
    if (!(now->settings == entry.settings)) {
      changes.push_back(fmt::format("service {} changed", address.to_string()));
    }
    if (now->acl != entry.acl) {
      changes.push_back(fmt::format("access list of {} changed", address.to_string()));
    }
    changes_of_rs(address, *now, entry, changes);
  }
  for (const auto& [address, entry] : services_) {
    if (!next.contains(address)) {
      changes.push_back(fmt::format("service {} removed", address.to_string()));
    }
  }
  return changes;
}

/// Each RS and sorry server that is new or placed anew is on an attached network, and each VIP that
/// is new or another owner's is free.
Status Registry::check_placement(const ServiceMap& next) const {
  for (const auto& [address, entry] : next) {
    const ServiceEntry* now = find_in(services_, address);
    LB_TRY(check_vip(address.vip, entry.settings.vip_owner));
    LB_TRY(check_sorry_on_link(now != nullptr ? now->settings.sorry : std::nullopt,
                               entry.settings.sorry));
    for (const auto& [rs_address, rs] : entry.real_servers) {
      const RsEntry* before = find_in(now, rs_address);
      bool stays = before != nullptr && before->settings.mac == rs.settings.mac &&
                   before->settings.vlan == rs.settings.vlan &&
                   before->settings.port == rs.settings.port;
      if (!stays) LB_TRY(check_on_link(rs_address, rs.settings));
    }
  }
  return {};
}

Result<ReloadReport> Registry::load(const std::vector<ConfigService>& services,
                                    std::uint64_t now_ms) {
  ReloadReport report;
  Overlay changes = restored_ ? *restored_ : overlay();
  LB_TRY_ASSIGN(ServiceMap next, lay_over(services, changes, limits_, report.dropped));
  LB_TRY(check_placement(next));
  report.changed = changes_to(next);
  adopt(std::move(next), now_ms);
  file_ = services;
  restored_.reset();
  restored_health_.clear();
  ++saved_revision_;
  return report;
}

/// Gives a service and its RS the ids and the health that they had, or new ones. REQUIRES: room was
/// checked, and what goes has given its slots back.
void Registry::adopt_service(const ServiceAddr& address, ServiceEntry& entry,
                             std::uint64_t now_ms) {
  const ServiceEntry* now = find_in(services_, address);
  if (now == &entry) now = nullptr;  // added in place
  entry.id = now != nullptr ? now->id : service_id_for(address);
  LB_ASSERT(entry.id != ServiceId::None);
  if (entry.settings.sorry) {
    entry.sorry_id = same_sorry(now, entry)
                         ? now->sorry_id
                         : known_or_new({address, entry.settings.sorry->address, true}).id;
    LB_ASSERT(entry.sorry_id != RsId::None);
  }
  for (auto& [rs_address, rs] : entry.real_servers) {
    if (rs.draining) rs.drain_since_ms = now_ms;
    if (const RsEntry* before = find_in(now, rs_address)) {
      keep(rs, *before, entry.settings.health.type);
      continue;
    }
    const KnownIds::Rs known = known_or_new({address, rs_address, false});
    rs.id = known.id;
    LB_ASSERT(rs.id != RsId::None);
    rs.health = initial_health(entry.settings, restored_health_, address, rs_address);
    // The state file may be a second older than the end of a run.
    if (known.up && rs.health != Health::Off) rs.health = Health::Up;
    rs.health_since_ms = now_ms;
    if (rs.health == Health::Up || rs.health == Health::Down) {
      rs.health_reason = "as before the restart of lbd";
    }
  }
}

void Registry::adopt(ServiceMap next, std::uint64_t now_ms) {
  for (const auto& [address, entry] : services_) {
    const ServiceEntry* stays = find_in(next, address);
    if (stays == nullptr) {
      release(entry);
      continue;
    }
    for (const auto& [rs_address, rs] : entry.real_servers) {
      if (!stays->real_servers.contains(rs_address)) release(rs);
    }
    if (entry.settings.sorry && !same_sorry(&entry, *stays)) {
      rs_slots_.give_back(slot_of(entry.sorry_id));
    }
  }
  forget_unwanted_ids(next);
  for (auto& [address, entry] : next) adopt_service(address, entry, now_ms);
  tally_ = ServiceTally(next);
  services_ = std::move(next);
  touched();
}

}  // namespace lb
