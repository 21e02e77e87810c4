// SPDX-License-Identifier: Apache-2.0
#include "control/registry.h"

#include <fmt/format.h>

#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/table/service_table.h"

namespace lb {
namespace {

RsSettings placement_of(const SorrySettings& sorry) {
  RsSettings settings;
  settings.mac = sorry.mac;
  settings.vlan = sorry.vlan;
  return settings;
}

/// Health after the checks of a service were turned on or off. Turning them on takes no running RS
/// out of service.
void settle_health(ServiceEntry& entry) {
  for (auto& [address, rs] : entry.real_servers) {
    if (entry.settings.health.type == HealthType::None) {
      rs.health = Health::Off;
      rs.health_reason.clear();
    } else if (rs.health == Health::Off) {
      rs.health = Health::Up;
      rs.health_reason = "the checks were just turned on";
    }
  }
}

}  // namespace

Registry::Registry(RegistryLimits limits)
    : limits_(std::move(limits)),
      service_slots_(limits_.services_max),
      rs_slots_(limits_.rs_max),
      rs_by_slot_(limits_.rs_max),
      service_by_slot_(limits_.services_max) {}

Result<const ServiceEntry*> Registry::service(const ServiceAddr& address) const {
  return find_service(const_cast<ServiceMap&>(services_), address);
}

Result<const RsEntry*> Registry::rs(const ServiceAddr& service, const IpAddr& address) const {
  return find_rs(const_cast<ServiceMap&>(services_), service, address);
}

Registry::RsRef Registry::rs_at_slot(std::uint32_t slot) const {
  return slot < rs_by_slot_.size() ? rs_by_slot_[slot] : RsRef{};
}

const RsEntry* Registry::find(RsId id) const {
  const RsEntry* entry = rs_at_slot(slot_of(id)).entry;
  return entry != nullptr && entry->id == id ? entry : nullptr;
}

const ServiceAddr* Registry::find(ServiceId id) const {
  std::uint32_t slot = slot_of(id);
  if (slot >= service_by_slot_.size() || service_by_slot_[slot] == nullptr) return nullptr;
  const auto& [address, entry] = *service_by_slot_[slot];
  return entry.id == id ? &address : nullptr;
}

std::map<IpAddr, VipOwner> Registry::vips() const {
  std::map<IpAddr, VipOwner> all;
  for (const auto& [address, entry] : services_) all[address.vip] = entry.settings.vip_owner;
  return all;
}

void Registry::touched() {
  ++revision_;
  ++saved_revision_;
  reindex();
}

void Registry::reindex() {
  rs_by_slot_.assign(rs_by_slot_.size(), RsRef{});
  service_by_slot_.assign(service_by_slot_.size(), nullptr);
  for (const auto& service : services_) {
    const auto& [address, entry] = service;
    service_by_slot_[slot_of(entry.id)] = &service;
    for (const auto& [rs_address, rs] : entry.real_servers) {
      rs_by_slot_[slot_of(rs.id)] = RsRef{&address, &rs_address, &rs};
    }
    if (entry.settings.sorry) {
      rs_by_slot_[slot_of(entry.sorry_id)] =
          RsRef{&address, &entry.settings.sorry->address, nullptr};
    }
  }
}

void Registry::release(const RsEntry& rs) { rs_slots_.give_back(slot_of(rs.id)); }

void Registry::release(const ServiceEntry& entry) {
  for (const auto& [address, rs] : entry.real_servers) release(rs);
  if (entry.settings.sorry) rs_slots_.give_back(slot_of(entry.sorry_id));
  service_slots_.give_back(slot_of(entry.id));
}

void Registry::untally(const ServiceEntry& entry) {
  for (const auto& [address, rs] : entry.real_servers) tally_.drop_backend(address);
  if (entry.settings.sorry) tally_.drop_backend(entry.settings.sorry->address);
  tally_.mh_slots -= lookup_slots(entry.settings);
  tally_.acl_entries -= entry.acl.size();
}

Status Registry::check_on_link(const IpAddr& address, const RsSettings& settings) const {
  if (!on_link_ || settings.mac) return {};
  return on_link_(address, settings);
}

Status Registry::check_sorry_on_link(const std::optional<SorrySettings>& now,
                                     const std::optional<SorrySettings>& next) const {
  if (!next || next == now) return {};
  return check_on_link(next->address, placement_of(*next));
}

/// One that lbd owns already stays: what came after it was somebody else's doing.
Status Registry::check_vip(const IpAddr& vip, VipOwner owner) const {
  if (!may_be_vip_ || owner != VipOwner::Lbd) return {};
  for (auto at = first_of_vip(services_, vip); at != services_.end() && at->first.vip == vip;
       ++at) {
    if (at->second.settings.vip_owner == VipOwner::Lbd) return {};
  }
  return may_be_vip_(vip);
}

Status Registry::add_service(const ServiceAddr& address, const ServicePatch& patch) {
  if (patch.sorry && *patch.sorry) LB_TRY(check_sorry_on_link(std::nullopt, *patch.sorry));
  // A VIP that has services has an owner, and a new one cannot say another.
  if (!is_vip(services_, address.vip)) {
    LB_TRY(check_vip(address.vip, patch.vip_owner.value_or(VipOwner::Lbd)));
  }
  LB_TRY(lb::add_service(services_, tally_, limits_, address, patch, Origin::Runtime));
  adopt_service(address, services_[address], 0);
  touched();
  return {};
}

Status Registry::set_service(const ServiceAddr& address, const ServicePatch& patch) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services_, address));
  auto sorry_before = entry->settings.sorry;
  if (patch.sorry) LB_TRY(check_sorry_on_link(sorry_before, *patch.sorry));
  if (patch.vip_owner) LB_TRY(check_vip(address.vip, *patch.vip_owner));
  LB_TRY(lb::set_service(services_, tally_, limits_, address, patch));
  const auto& sorry = entry->settings.sorry;
  bool same = sorry && sorry_before && sorry->address == sorry_before->address;
  if (!same) {
    if (sorry_before) rs_slots_.give_back(slot_of(entry->sorry_id));
    entry->sorry_id = sorry ? static_cast<RsId>(rs_slots_.take()) : RsId::None;
    LB_ASSERT(!sorry || entry->sorry_id != RsId::None);
  }
  settle_health(*entry);
  touched();
  return {};
}

Status Registry::del_service(const ServiceAddr& address) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services_, address));
  release(*entry);
  untally(*entry);
  services_.erase(address);
  touched();
  return {};
}

Status Registry::add_rs(const ServiceAddr& service, const IpAddr& address, const RsPatch& patch) {
  // First as a whole on a copy's terms: what the settings would be, then the network.
  RsSettings settings;
  patch.apply_to(settings);
  LB_TRY(lb::add_rs(services_, tally_, limits_, service, address, patch, Origin::Runtime));
  ServiceEntry& entry = services_[service];
  if (auto status = check_on_link(address, settings); !status) {
    entry.real_servers.erase(address);
    tally_.drop_backend(address);
    return status;
  }
  RsEntry& rs = entry.real_servers[address];
  rs.id = static_cast<RsId>(rs_slots_.take());
  LB_ASSERT(rs.id != RsId::None);
  if (entry.settings.health.type == HealthType::None) rs.health = Health::Off;
  touched();
  return {};
}

Status Registry::set_rs(const ServiceAddr& service, const IpAddr& address, const RsPatch& patch) {
  LB_TRY_ASSIGN(RsEntry * rs, find_rs(services_, service, address));
  RsSettings before = rs->settings;
  LB_TRY(lb::set_rs(services_, limits_, service, address, patch));
  bool placed_anew = rs->settings.mac != before.mac || rs->settings.vlan != before.vlan ||
                     rs->settings.port != before.port;
  if (placed_anew) {
    if (auto status = check_on_link(address, rs->settings); !status) {
      rs->settings = before;
      return status;
    }
  }
  if (patch.weight) {
    rs->draining = false;
    rs->drain_deadline_ms = 0;
  }
  touched();
  return {};
}

Status Registry::del_rs(const ServiceAddr& service, const IpAddr& address) {
  LB_TRY_ASSIGN(RsEntry * rs, find_rs(services_, service, address));
  release(*rs);
  tally_.drop_backend(address);
  services_[service].real_servers.erase(address);
  touched();
  return {};
}

Status Registry::add_acl(const ServiceAddr& service, std::vector<AclEntry> entries) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services_, service));
  Acl next = entry->acl.with(std::move(entries));
  if (next == entry->acl) return {};
  LB_TRY(set_acl(services_, tally_, limits_, service, next));
  touched();
  return {};
}

Status Registry::del_acl(const ServiceAddr& service, std::vector<IpPrefix> prefixes) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services_, service));
  for (const IpPrefix& prefix : prefixes) {
    if (entry->acl.find(prefix) != nullptr) continue;
    const AclEntry* decides = entry->acl.match(prefix.address);
    return refuse(Refusal::NoSuchAclEntry,
                  fmt::format("the access list of {} has no entry {}{}; nothing was removed",
                              service.to_string(), prefix.to_string(),
                              decides == nullptr
                                  ? ""
                                  : fmt::format(" ({} decides for {})", decides->prefix.to_string(),
                                                prefix.address.to_string())));
  }
  LB_TRY(set_acl(services_, tally_, limits_, service, entry->acl.without(std::move(prefixes))));
  touched();
  return {};
}

Status Registry::clear_acl(const ServiceAddr& service) {
  LB_TRY(set_acl(services_, tally_, limits_, service, Acl()));
  touched();
  return {};
}

Status Registry::drain_rs(const ServiceAddr& service, const IpAddr& address,
                          std::uint64_t timeout_ms, std::uint64_t now_ms) {
  LB_TRY_ASSIGN(RsEntry * rs, find_rs(services_, service, address));
  if (!rs->draining) rs->drain_since_ms = now_ms;
  rs->draining = true;
  rs->drain_deadline_ms = timeout_ms == 0 ? 0 : now_ms + timeout_ms;
  touched();
  return {};
}

std::vector<DrainEnd> Registry::drains_over(std::uint64_t now_ms,
                                            const DrainRestOf& rest_of) const {
  std::vector<DrainEnd> ends;
  for (const auto& [address, entry] : services_) {
    for (const auto& [rs_address, rs] : entry.real_servers) {
      if (!rs.draining || now_ms < rs.drain_since_ms + kDrainGraceMs) continue;
      DrainRest rest = rest_of(address, rs.id);
      bool late = rs.drain_deadline_ms != 0 && now_ms >= rs.drain_deadline_ms;
      bool empty = rest.flows == 0 && !rest.unseen;
      if (empty || late) ends.push_back({address, rs_address, rest.flows});
    }
  }
  return ends;
}

void Registry::remove_drained(const std::vector<DrainEnd>& ends) {
  for (const DrainEnd& end : ends) {
    auto& real_servers = services_.at(end.service).real_servers;
    auto at = real_servers.find(end.real_server);
    LB_ASSERT(at != real_servers.end());
    release(at->second);
    tally_.drop_backend(end.real_server);
    real_servers.erase(at);
  }
  touched();
}

bool Registry::set_health(RsId id, Health health, const std::string& reason, std::uint64_t now_ms) {
  auto* rs = const_cast<RsEntry*>(find(id));
  if (rs == nullptr || rs->health == Health::Off || rs->health == health) return false;
  bool was_up = is_up(*rs);
  rs->health = health;
  rs->health_since_ms = now_ms;
  ++saved_revision_;
  if (is_up(*rs) != was_up) ++revision_;
  rs->health_reason = reason;  // last: no memory for it must not cost the rest
  return true;
}

void Registry::start_checks(RsId id, std::uint64_t now_ms) {
  auto* rs = const_cast<RsEntry*>(find(id));
  if (rs == nullptr || rs->health != Health::Off) return;
  rs->health = Health::Up;
  rs->health_reason = "the checks were just turned on";
  rs->health_since_ms = now_ms;
  ++saved_revision_;
}

HealthMemory Registry::health_memory() const {
  HealthMemory memory;
  for (const auto& [address, entry] : services_) {
    for (const auto& [rs_address, rs] : entry.real_servers) {
      if (rs.health == Health::Up || rs.health == Health::Down) {
        memory[address][rs_address] = rs.health;
      }
    }
  }
  return memory;
}

Registry::Checkpoint Registry::checkpoint() const {
  return {.services = services_,
          .tally = tally_,
          .service_slots = service_slots_,
          .rs_slots = rs_slots_,
          .revision = revision_,
          .saved_revision = saved_revision_,
          .file = file_,
          .restored = restored_,
          .restored_health = restored_health_};
}

void Registry::roll_back(Checkpoint checkpoint) noexcept {
  services_ = std::move(checkpoint.services);
  tally_ = std::move(checkpoint.tally);
  service_slots_.roll_back(std::move(checkpoint.service_slots));
  rs_slots_.roll_back(std::move(checkpoint.rs_slots));
  revision_ = checkpoint.revision;
  saved_revision_ = checkpoint.saved_revision;
  file_ = std::move(checkpoint.file);
  restored_ = std::move(checkpoint.restored);
  restored_health_ = std::move(checkpoint.restored_health);
  reindex();
}

}  // namespace lb
