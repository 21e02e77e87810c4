// SPDX-License-Identifier: Apache-2.0
#include "control/desired.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "bpf/lb_abi.h"
#include "control/refusal.h"
#include "control/validate.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/text.h"

namespace lb {
namespace {

Status refuse_misfits(const std::string& what, const std::vector<Misfit>& misfits) {
  if (misfits.empty()) return {};
  std::string text;
  for (const Misfit& misfit : misfits) {
    if (!text.empty()) text += "; ";
    text += fmt::format("{}: {}", misfit.key, misfit.what);
  }
  return refuse(Refusal::BadRequest, fmt::format("{}: {}", what, text));
}

ServiceAddr lowest_of_vip(const IpAddr& vip) {
  ServiceAddr lowest;
  lowest.vip = vip;
  lowest.proto = static_cast<Proto>(0);
  return lowest;
}

/// Calls `visit(address, entry)` for each service of a VIP.
template <class Visit>
void each_of_vip(ServiceMap& services, const IpAddr& vip, Visit&& visit) {
  for (auto at = services.lower_bound(lowest_of_vip(vip));
       at != services.end() && at->first.vip == vip; ++at) {
    visit(at->first, at->second);
  }
}

Status check_ports(ServiceMap& services, const ServiceAddr& address) {
  if (services.contains(address)) {
    return refuse(Refusal::Exists,
                  fmt::format("service {} exists already (change it with lbctl set-vip)",
                              address.to_string()));
  }
  if (!address.is_range()) return {};  // it goes before any range
  std::optional<ServiceAddr> clash;
  std::uint32_t ranges = 0;
  each_of_vip(services, address.vip, [&](const ServiceAddr& other, const ServiceEntry&) {
    if (ports_clash(address, other)) clash = other;
    if (other.proto == address.proto && other.is_range() && !other.is_any_port()) ++ranges;
  });
  if (clash) {
    return refuse(Refusal::Clash, fmt::format("the ports of {} overlap those of {}",
                                              address.to_string(), clash->to_string()));
  }
  if (address.is_range() && !address.is_any_port() && ranges >= LB_PORT_RANGES_MAX) {
    return refuse(Refusal::TableFull,
                  fmt::format("{} has {} port ranges for {} already, and more are not possible",
                              address.vip.to_string(), ranges, proto_name(address.proto)));
  }
  return {};
}

/// No real server and no sorry server may be a VIP of ours.
Status check_vip_is_no_backend(const ServiceMap& services, const ServiceTally& tally,
                               const IpAddr& vip) {
  if (!tally.backends.contains(vip)) return {};
  for (const auto& [address, entry] : services) {
    bool sorry = entry.settings.sorry && entry.settings.sorry->address == vip;
    if (sorry || entry.real_servers.contains(vip)) {
      return refuse(Refusal::Clash,
                    fmt::format("{} is a real server of {} and cannot be a VIP as well",
                                vip.to_string(), address.to_string()));
    }
  }
  return {};
}

Status check_backend_is_no_vip(ServiceMap& services, const IpAddr& address) {
  if (!is_vip(services, address)) return {};
  return refuse(Refusal::Clash,
                fmt::format("{} is a VIP of this director and cannot be a real server as well",
                            address.to_string()));
}

Status check_sorry(ServiceMap& services, const ServiceAddr& address,
                   const ServiceSettings& settings) {
  if (!settings.sorry) return {};
  LB_TRY(check_backend_is_no_vip(services, settings.sorry->address));
  auto at = services.find(address);
  if (at != services.end() && at->second.real_servers.contains(settings.sorry->address)) {
    return refuse(Refusal::Clash,
                  fmt::format("{} is a real server of {} and cannot be its sorry server as well",
                              settings.sorry->address.to_string(), address.to_string()));
  }
  return {};
}

Status check_rs_room(const ServiceTally& tally, const RegistryLimits& limits) {
  if (tally.real_servers < limits.rs_max) return {};
  return refuse(
      Refusal::TableFull,
      fmt::format("all {} places for real servers are taken (raise rs_max in [dataplane] and "
                  "restart lbd)",
                  limits.rs_max));
}

Status check_slots(const ServiceAddr& address, const ServiceSettings& settings,
                   std::size_t real_servers) {
  if (!is_hashed(settings.scheduler) || settings.mh_slots >= real_servers) return {};
  return refuse(Refusal::TableFull,
                fmt::format("{}: mh_slots {} is smaller than the number of real servers, {}",
                            address.to_string(), settings.mh_slots, real_servers));
}

/// All lookup arrays together: each takes memory, and time of control's thread at every change.
Status check_slots_sum(const ServiceAddr& address, const ServiceSettings* now,
                       const ServiceSettings& next, const ServiceTally& tally,
                       const RegistryLimits& limits) {
  const std::uint64_t before = now != nullptr ? lookup_slots(*now) : 0;
  const std::uint64_t sum = tally.mh_slots - before + lookup_slots(next);
  const std::uint64_t most = mh_slots_limit(limits.mh_slots_max, limits.services_max);
  if (lookup_slots(next) <= before || sum <= most) return {};
  return refuse(
      Refusal::TableFull,
      fmt::format(
          "{}: with mh_slots {} the lookup arrays of all services have {} slots, and {} are "
          "allowed (lower mh_slots, or raise mh_slots_max in [dataplane] and restart lbd)",
          address.to_string(), next.mh_slots, sum, most));
}

template <class T>
Status same_word(const std::optional<T>& said, T stands, std::string_view key,
                 const ServiceAddr& address) {
  if (!said || *said == stands) return {};
  return refuse(
      Refusal::Clash,
      fmt::format(
          "{} \"{}\" is a setting of the VIP, and its other services have \"{}\" (change it "
          "for all of them with lbctl set-vip, or leave it out here): {}",
          key, name_of(*said), name_of(stands), address.to_string()));
}

/// Takes vip_owner, vip_unmatched and icmp_echo over from the VIP's other services.
Status join_vip(ServiceMap& services, const ServiceAddr& address, const ServicePatch& patch,
                ServiceSettings& settings) {
  auto at = first_of_vip(services, address.vip);
  if (at == services.end() || at->first.vip != address.vip) return {};
  const ServiceSettings& other = at->second.settings;
  LB_TRY(same_word(patch.vip_owner, other.vip_owner, "vip_owner", address));
  LB_TRY(same_word(patch.vip_unmatched, other.vip_unmatched, "vip_unmatched", address));
  LB_TRY(same_word(patch.icmp_echo, other.icmp_echo, "icmp_echo", address));
  settings.vip_owner = other.vip_owner;
  settings.vip_unmatched = other.vip_unmatched;
  settings.icmp_echo = other.icmp_echo;
  return {};
}

}  // namespace

ServiceMap::const_iterator first_of_vip(const ServiceMap& services, const IpAddr& vip) {
  return services.lower_bound(lowest_of_vip(vip));
}

bool is_vip(const ServiceMap& services, const IpAddr& address) {
  auto at = first_of_vip(services, address);
  return at != services.end() && at->first.vip == address;
}

bool is_up(const RsEntry& rs) {
  if (rs.settings.state != ManualState::Auto) return rs.settings.state == ManualState::Up;
  return rs.health == Health::Up || rs.health == Health::Off;
}

bool takes_new_flows(const RsEntry& rs) {
  return is_up(rs) && rs.settings.weight > 0 && !rs.draining;
}

std::string why_no_new_flows(const RsEntry& rs) {
  if (rs.settings.state == ManualState::Down) return "down by hand";
  if (!is_up(rs)) {
    if (rs.health == Health::Unknown) return "not checked yet";
    return rs.health_reason.empty() ? "down" : "down: " + rs.health_reason;
  }
  if (rs.draining) return "draining";
  return rs.settings.weight == 0 ? "weight 0" : "";
}

RegistryLimits limits_of(const Config& config) {
  return {.services_max = config.dataplane.services_max,
          .rs_max = config.dataplane.rs_max,
          .ports = config.port_names(),
          .mh_slots_max = config.dataplane.mh_slots_max,
          .acl_max = config.dataplane.acl_max};
}

std::uint64_t mh_slots_limit(std::uint32_t mh_slots_max, std::uint32_t services_max) {
  return mh_slots_max != 0 ? mh_slots_max : std::uint64_t{services_max} * kMaglevSlotsDefault;
}

std::uint32_t lookup_slots(const ServiceSettings& settings) {
  return is_hashed(settings.scheduler) ? settings.mh_slots : 0;
}

ServiceTally::ServiceTally(const ServiceMap& services) {
  for (const auto& [address, entry] : services) {
    for (const auto& [rs_address, rs] : entry.real_servers) add_backend(rs_address);
    if (entry.settings.sorry) add_backend(entry.settings.sorry->address);
    mh_slots += lookup_slots(entry.settings);
    acl_entries += entry.acl.size();
  }
}

void ServiceTally::add_backend(const IpAddr& address) {
  ++backends[address];
  ++real_servers;
}

void ServiceTally::drop_backend(const IpAddr& address) {
  auto at = backends.find(address);
  LB_ASSERT(at != backends.end() && real_servers > 0);
  if (--at->second == 0) backends.erase(at);
  --real_servers;
}

Result<ServiceEntry*> find_service(ServiceMap& services, const ServiceAddr& address) {
  auto at = services.find(address);
  if (at != services.end()) return &at->second;
  std::vector<std::string> names;
  names.reserve(services.size());
  for (const auto& [other, entry] : services) names.push_back(other.to_string());
  auto near = nearest(address.to_string(), names);
  return refuse(
      Refusal::NoSuchService,
      near.empty()
          ? fmt::format("there is no service {} (lbctl show vips lists them)", address.to_string())
          : fmt::format("there is no service {}; did you mean {}? (lbctl show vips lists them)",
                        address.to_string(), near));
}

Result<RsEntry*> find_rs(ServiceMap& services, const ServiceAddr& service, const IpAddr& address) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services, service));
  auto at = entry->real_servers.find(address);
  if (at != entry->real_servers.end()) return &at->second;
  std::vector<std::string> names;
  for (const auto& [other, rs] : entry->real_servers) names.push_back(other.to_string());
  auto near = nearest(address.to_string(), names);
  auto hint = near.empty() ? std::string() : fmt::format("; did you mean {}?", near);
  return refuse(Refusal::NoSuchRealServer,
                fmt::format("service {} has no real server {}{} (lbctl show rs lists them)",
                            service.to_string(), address.to_string(), hint));
}

Status add_service(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
                   const ServiceAddr& address, const ServicePatch& patch, Origin origin) {
  ServiceEntry entry;
  entry.origin = origin;
  entry.settings = ServiceSettings::defaults(address);
  patch.apply_to(entry.settings);
  LB_TRY(refuse_misfits(address.to_string(), check_service_settings(address, entry.settings)));
  LB_TRY(check_ports(services, address));
  LB_TRY(check_vip_is_no_backend(services, tally, address.vip));
  LB_TRY(check_sorry(services, address, entry.settings));
  LB_TRY(join_vip(services, address, patch, entry.settings));
  if (services.size() >= limits.services_max) {
    return refuse(
        Refusal::TableFull,
        fmt::format("all {} places for services are taken (raise services_max in [dataplane] "
                    "and restart lbd)",
                    limits.services_max));
  }
  if (entry.settings.sorry) LB_TRY(check_rs_room(tally, limits));
  LB_TRY(check_slots_sum(address, nullptr, entry.settings, tally, limits));
  if (entry.settings.sorry) tally.add_backend(entry.settings.sorry->address);
  tally.mh_slots += lookup_slots(entry.settings);
  services.emplace(address, std::move(entry));
  return {};
}

Status set_service(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
                   const ServiceAddr& address, const ServicePatch& patch) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services, address));
  ServiceSettings settings = entry->settings;
  patch.apply_to(settings);
  LB_TRY(refuse_misfits(address.to_string(), check_service_settings(address, settings)));
  LB_TRY(check_sorry(services, address, settings));
  LB_TRY(check_slots(address, settings, entry->real_servers.size()));
  if (settings.sorry && !entry->settings.sorry) LB_TRY(check_rs_room(tally, limits));
  LB_TRY(check_slots_sum(address, &entry->settings, settings, tally, limits));
  tally.mh_slots += lookup_slots(settings);
  tally.mh_slots -= lookup_slots(entry->settings);
  if (settings.sorry) tally.add_backend(settings.sorry->address);
  if (entry->settings.sorry) tally.drop_backend(entry->settings.sorry->address);
  entry->settings = settings;
  each_of_vip(services, address.vip, [&](const ServiceAddr&, ServiceEntry& other) {
    vip_part(patch).apply_to(other.settings);
  });
  return {};
}

Status add_rs(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
              const ServiceAddr& service, const IpAddr& address, const RsPatch& patch,
              Origin origin) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services, service));
  RsEntry rs;
  rs.origin = origin;
  patch.apply_to(rs.settings);
  auto what = fmt::format("real server {} of {}", address.to_string(), service.to_string());
  LB_TRY(refuse_misfits(what, check_rs_settings(service, address, rs.settings, limits.ports)));
  if (entry->real_servers.contains(address)) {
    return refuse(Refusal::Exists,
                  fmt::format("{} exists already (change it with lbctl set-rs)", what));
  }
  if (entry->settings.sorry && entry->settings.sorry->address == address) {
    return refuse(Refusal::Clash, fmt::format("{} is its sorry server already", what));
  }
  LB_TRY(check_backend_is_no_vip(services, address));
  LB_TRY(check_rs_room(tally, limits));
  LB_TRY(check_slots(service, entry->settings, entry->real_servers.size() + 1));
  tally.add_backend(address);
  entry->real_servers.emplace(address, std::move(rs));
  return {};
}

Status set_rs(ServiceMap& services, const RegistryLimits& limits, const ServiceAddr& service,
              const IpAddr& address, const RsPatch& patch) {
  LB_TRY_ASSIGN(RsEntry * rs, find_rs(services, service, address));
  RsSettings settings = rs->settings;
  patch.apply_to(settings);
  auto what = fmt::format("real server {} of {}", address.to_string(), service.to_string());
  LB_TRY(refuse_misfits(what, check_rs_settings(service, address, settings, limits.ports)));
  rs->settings = std::move(settings);
  return {};
}

std::string acl_misfit(const ServiceAddr& address, const IpPrefix& prefix) {
  if (prefix.address.family() == address.vip.family()) return {};
  return fmt::format("{} is an {} prefix, and the clients of {} are {}", prefix.to_string(),
                     prefix.address.is_v4() ? "IPv4" : "IPv6", address.to_string(),
                     address.vip.is_v4() ? "IPv4" : "IPv6");
}

Status set_acl(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
               const ServiceAddr& address, const Acl& acl) {
  LB_TRY_ASSIGN(ServiceEntry * entry, find_service(services, address));
  if (!acl.empty()) {  // by family first: if one is of the wrong one, so is the first or the last
    for (const AclEntry& one : {acl.entries().front(), acl.entries().back()}) {
      auto misfit = acl_misfit(address, one.prefix);
      if (!misfit.empty()) return refuse(Refusal::BadRequest, misfit);
    }
  }
  const std::uint64_t sum = tally.acl_entries - entry->acl.size() + acl.size();
  if (acl.size() > entry->acl.size() && sum > limits.acl_max) {
    return refuse(Refusal::TableFull,
                  fmt::format("{}: the access lists of all services would have {} entries, and {} "
                              "are allowed (raise acl_max in [dataplane] and restart lbd)",
                              address.to_string(), sum, limits.acl_max));
  }
  tally.acl_entries = sum;
  entry->acl = acl;
  return {};
}

ServicePatch vip_part(const ServicePatch& patch) {
  ServicePatch part;
  part.vip_owner = patch.vip_owner;
  part.vip_unmatched = patch.vip_unmatched;
  part.icmp_echo = patch.icmp_echo;
  return part;
}

ServicePatch without_vip_part(const ServicePatch& patch) {
  ServicePatch part = patch;
  part.vip_owner.reset();
  part.vip_unmatched.reset();
  part.icmp_echo.reset();
  return part;
}

std::map<IpAddr, ServicePatch> vip_words(const std::vector<ConfigService>& services) {
  std::map<IpAddr, ServicePatch> words;
  for (const ConfigService& service : services) {
    words[service.address.vip].merge(vip_part(service.settings));
  }
  return words;
}

}  // namespace lb
