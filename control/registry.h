// SPDX-License-Identifier: Apache-2.0
// Registry: the desired state: services and real servers, their ids and health, and the overlay of
// what was changed at run time over the config file. Control's one thread. Every operation is a
// whole change or a refused one. It publishes nothing: whoever sees revision() move builds a new
// table (TableBuilder).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/desired.h"
#include "control/overlay.h"
#include "control/refusal.h"
#include "control/settings.h"
#include "control/slot_pool.h"
#include "dataplane/base/ids.h"

namespace lb {

/// What a reload did, in sentences for the log and the API.
struct ReloadReport {
  std::vector<std::string> changed;  ///< empty: nothing changed
  std::vector<std::string> dropped;  ///< run-time changes that the file or a clash overruled
};

/// What keeps a draining RS.
struct DrainRest {
  std::uint64_t flows = 0;  ///< living flows that are known
  bool unseen = false;      ///< there may be others that nobody remembers
};

/// What an earlier run named, by the ids that it gave, and the packet path still goes by.
struct KnownIds {
  struct RsName {
    ServiceAddr service;
    IpAddr address;
    bool sorry = false;
    friend auto operator<=>(const RsName&, const RsName&) = default;
  };
  struct Rs {
    RsId id = RsId::None;
    bool up = false;  ///< it was in service at the end
  };
  std::map<ServiceAddr, ServiceId> services;
  std::map<RsName, Rs> real_servers;
};

/// A drain that is over: the RS is to be removed.
struct DrainEnd {
  ServiceAddr service;
  IpAddr real_server;
  std::uint64_t flows_left = 0;  ///< not 0: the deadline had come
};

class Registry {
 public:
  explicit Registry(RegistryLimits limits);

  // Look:
  [[nodiscard]] const ServiceMap& services() const { return services_; }
  [[nodiscard]] const RegistryLimits& limits() const { return limits_; }
  /// Of all access lists together.
  [[nodiscard]] std::uint64_t acl_entries() const { return tally_.acl_entries; }
  /// Refusal::NoSuchService / NoSuchRealServer with the nearest one that exists.
  [[nodiscard]] Result<const ServiceEntry*> service(const ServiceAddr& address) const;
  [[nodiscard]] Result<const RsEntry*> rs(const ServiceAddr& service, const IpAddr& address) const;
  struct RsRef {
    const ServiceAddr* service = nullptr;
    const IpAddr* address = nullptr;
    const RsEntry* entry = nullptr;  ///< null for a sorry RS
  };
  /// Who has an RS slot now (Dataplane::take_resolve_requests), sorry RS included; all null:
  /// nobody.
  [[nodiscard]] RsRef rs_at_slot(std::uint32_t slot) const;
  /// The entry of an id; null when it is gone.
  [[nodiscard]] const RsEntry* find(RsId id) const;
  /// The service of an id, by address; null when it is gone.
  [[nodiscard]] const ServiceAddr* find(ServiceId id) const;
  /// Moves with every change that matters to the packet path or the checks.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  /// Moves with every change that the state file holds (desired state and health).
  [[nodiscard]] std::uint64_t saved_revision() const { return saved_revision_; }
  /// Every VIP with who owns it, once.
  [[nodiscard]] std::map<IpAddr, VipOwner> vips() const;

  // Change. Values are checked (Refusal::BadRequest), duplicates refused (Exists, Clash), limits
  // held (TableFull).
  Status add_service(const ServiceAddr& address, const ServicePatch& patch);
  Status set_service(const ServiceAddr& address, const ServicePatch& patch);
  Status del_service(const ServiceAddr& address);
  Status add_rs(const ServiceAddr& service, const IpAddr& address, const RsPatch& patch);
  /// A weight in the patch ends a drain.
  Status set_rs(const ServiceAddr& service, const IpAddr& address, const RsPatch& patch);
  Status del_rs(const ServiceAddr& service, const IpAddr& address);
  /// Entries of its access list; those with a prefix that is there already take their place.
  Status add_acl(const ServiceAddr& service, std::vector<AclEntry> entries);
  /// Refusal::NoSuchAclEntry when there is no entry of one of them.
  Status del_acl(const ServiceAddr& service, std::vector<IpPrefix> prefixes);
  Status clear_acl(const ServiceAddr& service);
  /// New flows go elsewhere at once; ended by remove_drained(). `timeout_ms` 0: no deadline.
  /// Again: a new deadline.
  Status drain_rs(const ServiceAddr& service, const IpAddr& address, std::uint64_t timeout_ms,
                  std::uint64_t now_ms);
  /// Draining RS of which nothing is left (at the earliest kDrainGraceMs after the drain began, so
  /// that every worker has seen it) or past their deadline.
  using DrainRestOf = std::function<DrainRest(const ServiceAddr& service, RsId rs)>;
  [[nodiscard]] std::vector<DrainEnd> drains_over(std::uint64_t now_ms,
                                                  const DrainRestOf& rest_of) const;
  /// REQUIRES: `ends` is what drains_over() has just answered.
  void remove_drained(const std::vector<DrainEnd>& ends);
  static constexpr std::uint64_t kDrainGraceMs = 1'000;

  /// From the checks (by way of Dampener). True when that changed the entry; a stale id and an RS
  /// that is not checked are left alone.
  bool set_health(RsId id, Health health, const std::string& reason, std::uint64_t now_ms);

  /// The RS was not checked (Health::Off) and is from now on. It stays in service: the first checks
  /// decide.
  void start_checks(RsId id, std::uint64_t now_ms);

  /// Asked for each new RS without a manual MAC (add, set of vlan or port, load): whether it is on
  /// an attached network.
  using OnLink = std::function<Status(const IpAddr& rs, const RsSettings& settings)>;
  void set_on_link(OnLink check) { on_link_ = std::move(check); }

  /// Asked for each VIP that lbd is to own and does not yet (add, set of vip_owner, load): whether
  /// the address is free for it.
  using MayBeVip = std::function<Status(const IpAddr& vip)>;
  void set_may_be_vip(MayBeVip check) { may_be_vip_ = std::move(check); }

  // Config and state. At start: restore(), then load(). At SIGHUP: load().
  /// Takes the overlay and the last known health from the state file; used by the next load().
  void restore(Overlay overlay, HealthMemory health);
  /// What the next load() finds in the desired state gets these ids again, and real servers that
  /// were in service are up until a check says otherwise; no id is given to anything else.
  /// REQUIRES: before the first load().
  void prefer(KnownIds ids);
  /// Flows may still name these ids of an earlier run: they are not given again.
  void saw(ServiceId service, RsId rs) noexcept;
  /// Config's services with the overlay laid over them become the desired state; what exists before
  /// and after keeps its id, counters, flows and health. Rule (lbd.toml(5)): an overlay entry
  /// counts while the file says the same of that service or RS as when it was made; otherwise the
  /// file wins and the entry is dropped. Refused whole: TableFull, NotOnLink.
  Result<ReloadReport> load(const std::vector<ConfigService>& services, std::uint64_t now_ms);
  /// How the running state differs from the file, for the state file.
  [[nodiscard]] Overlay overlay() const { return make_overlay(file_, services_); }
  [[nodiscard]] HealthMemory health_memory() const;

  /// All that a change can touch, to undo one that could not be published.
  struct Checkpoint;
  [[nodiscard]] Checkpoint checkpoint() const;
  /// Everything is as it was at the checkpoint, ids and revisions included, also when an exception
  /// ended a change anywhere.
  void roll_back(Checkpoint checkpoint) noexcept;

 private:
  Status check_on_link(const IpAddr& address, const RsSettings& settings) const;
  Status check_sorry_on_link(const std::optional<SorrySettings>& now,
                             const std::optional<SorrySettings>& next) const;
  Status check_placement(const ServiceMap& next) const;
  Status check_vip(const IpAddr& vip, VipOwner owner) const;
  void touched();
  void reindex();
  void release(const RsEntry& rs);
  void release(const ServiceEntry& entry);
  void untally(const ServiceEntry& entry);
  void forget_unwanted_ids(const ServiceMap& next);
  [[nodiscard]] ServiceId service_id_for(const ServiceAddr& address);
  [[nodiscard]] KnownIds::Rs known_or_new(const KnownIds::RsName& rs);
  void adopt(ServiceMap next, std::uint64_t now_ms);
  void adopt_service(const ServiceAddr& address, ServiceEntry& entry, std::uint64_t now_ms);
  [[nodiscard]] std::vector<std::string> changes_to(const ServiceMap& next) const;

  RegistryLimits limits_;
  ServiceMap services_;
  ServiceTally tally_;  ///< of services_
  SlotPool service_slots_, rs_slots_;
  std::vector<RsRef> rs_by_slot_;
  std::vector<const ServiceMap::value_type*> service_by_slot_;
  std::uint64_t revision_ = 1, saved_revision_ = 1;
  FileServices file_;  ///< what the config file said at the last load
  std::optional<Overlay> restored_;
  HealthMemory restored_health_;
  KnownIds known_;  ///< claimed, until the first load()
  OnLink on_link_;
  MayBeVip may_be_vip_;
};

struct Registry::Checkpoint {
  ServiceMap services;
  ServiceTally tally;
  SlotPool service_slots, rs_slots;
  std::uint64_t revision, saved_revision;
  FileServices file;
  std::optional<Overlay> restored;
  HealthMemory restored_health;
};

}  // namespace lb
