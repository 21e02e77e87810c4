// SPDX-License-Identifier: Apache-2.0
// Desired state as plain data, and the checked changes to it that Registry, Config and a reload
// share. A change is whole or refused; ids, health and next hops are not looked at. Control's one
// thread, or any that owns the map.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/settings.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"

namespace lb {

struct RsEntry {
  RsId id = RsId::None;
  Origin origin = Origin::Runtime;
  RsSettings settings;
  Health health = Health::Unknown;
  std::string health_reason;          ///< of the last change, e.g. "connection refused"
  std::uint64_t health_since_ms = 0;  ///< of the caller's clock
  bool draining = false;
  std::uint64_t drain_since_ms = 0;
  std::uint64_t drain_deadline_ms =
      0;  ///< removed then whatever is left; 0: when its last flow has ended
};

/// What takes part in a service beside its RS: the sorry RS has an id (and so counters and flows)
/// of its own.
struct ServiceEntry {
  ServiceId id = ServiceId::None;
  Origin origin = Origin::Runtime;
  ServiceSettings settings;
  std::map<IpAddr, RsEntry> real_servers;
  Acl acl;
  RsId sorry_id = RsId::None;  ///< when settings.sorry is there
};
using ServiceMap = std::map<ServiceAddr, ServiceEntry>;

/// Its flows are forwarded: by hand up, or not by hand down and healthy or unchecked.
[[nodiscard]] bool is_up(const RsEntry& rs);
/// It gets new flows as far as control knows (the MAC may still be missing).
[[nodiscard]] bool takes_new_flows(const RsEntry& rs);
/// Why it gets no new flows, in words; empty when it does.
[[nodiscard]] std::string why_no_new_flows(const RsEntry& rs);

/// What the registry checks against; fixed while lbd runs.
struct RegistryLimits {
  std::uint32_t services_max = 1024;
  std::uint32_t rs_max = 4096;
  std::vector<std::string> ports;  ///< interface names by PortIndex
  /// Slots of all lookup arrays together; 0: as many as services_max services take by default.
  std::uint32_t mh_slots_max = 0;
  std::uint32_t acl_max = LB_ACL_ENTRIES_MAX;  ///< entries of all access lists together
};
[[nodiscard]] RegistryLimits limits_of(const Config& config);
/// RegistryLimits::mh_slots_max, with what 0 stands for.
[[nodiscard]] std::uint64_t mh_slots_limit(std::uint32_t mh_slots_max, std::uint32_t services_max);
/// Slots of a service's lookup array; 0 when its scheduler needs none.
[[nodiscard]] std::uint32_t lookup_slots(const ServiceSettings& settings);

/// What the checks ask of all services of a map together, so that they need not walk it. Kept by
/// add_service(), set_service(), add_rs() and set_acl(); after any other change of the map it is
/// made anew.
struct ServiceTally {
  ServiceTally() = default;
  explicit ServiceTally(const ServiceMap& services);
  std::map<IpAddr, std::uint32_t> backends;  ///< real and sorry servers: in how many services
  std::size_t real_servers = 0;              ///< and sorry servers, of all services
  std::uint64_t mh_slots = 0;
  std::uint64_t acl_entries = 0;
  void add_backend(const IpAddr& address);
  void drop_backend(const IpAddr& address);
};

/// The services of a VIP lie side by side in the map: the first one, or where it would be.
[[nodiscard]] ServiceMap::const_iterator first_of_vip(const ServiceMap& services,
                                                      const IpAddr& vip);
[[nodiscard]] bool is_vip(const ServiceMap& services, const IpAddr& address);

// Checked changes. Refusals: BadRequest (a value), Exists, Clash (ports, VIP and RS), NoSuch*,
// TableFull.
/// vip_owner, vip_unmatched and icmp_echo are taken over from the VIP's other services when the
/// patch does not say them; saying something else than they do is a Clash.
Status add_service(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
                   const ServiceAddr& address, const ServicePatch& patch, Origin origin);
/// The three settings of the VIP go to all its services.
Status set_service(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
                   const ServiceAddr& address, const ServicePatch& patch);
Status add_rs(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
              const ServiceAddr& service, const IpAddr& address, const RsPatch& patch,
              Origin origin);
Status set_rs(ServiceMap& services, const RegistryLimits& limits, const ServiceAddr& service,
              const IpAddr& address, const RsPatch& patch);
/// The whole access list; each prefix is of the VIP's family.
Status set_acl(ServiceMap& services, ServiceTally& tally, const RegistryLimits& limits,
               const ServiceAddr& address, const Acl& acl);
/// Why a list of this service cannot have an entry of that family; empty: it can.
[[nodiscard]] std::string acl_misfit(const ServiceAddr& address, const IpPrefix& prefix);

/// Refusal::NoSuchService / NoSuchRealServer with the nearest one that exists.
[[nodiscard]] Result<ServiceEntry*> find_service(ServiceMap& services, const ServiceAddr& address);
[[nodiscard]] Result<RsEntry*> find_rs(ServiceMap& services, const ServiceAddr& service,
                                       const IpAddr& address);

/// What the file says of each VIP (vip_owner, vip_unmatched, icmp_echo), by whichever of its
/// services says it.
[[nodiscard]] std::map<IpAddr, ServicePatch> vip_words(const std::vector<ConfigService>& services);
/// Only the three settings of the VIP / all but these.
[[nodiscard]] ServicePatch vip_part(const ServicePatch& patch);
[[nodiscard]] ServicePatch without_vip_part(const ServicePatch& patch);

}  // namespace lb
