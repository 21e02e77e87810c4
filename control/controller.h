// SPDX-License-Identifier: Apache-2.0
// Controller: what a command, a reload or an event does: it changes the registry, builds the table
// and publishes it, as one step or not at all. The API and Director call it, on Director's thread.
// No Asio, no sockets: tests and fuzzers run it over a FakeDataplane.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/health_book.h"
#include "control/json_view.h"
#include "control/neighbours.h"
#include "control/networks.h"
#include "control/registry.h"
#include "control/requests.h"
#include "control/slot_shares.h"
#include "control/state.h"
#include "control/stats.h"
#include "control/table_builder.h"
#include "dataplane/dataplane.h"

namespace lb {

class Controller {
 public:
  /// All outlive the controller.
  struct Parts {
    Dataplane& dataplane;
    const Networks& networks;
    NeighbourResolver& resolver;
    std::function<std::uint64_t()> now_ms;
    std::function<std::uint32_t()> now_s;  ///< CLOCK_BOOTTIME
  };
  /// `config_path` is read again by reload().
  Controller(Config config, std::string config_path, State state, Parts parts);

  /// Loads the config's services with the run-time changes of the state over them, and publishes
  /// the first generation, which comes from what an lbd before has left to be forwarded; panic is
  /// on before that when it was on in the state.
  Result<ReloadReport> start();

  // Commands. Each is published when it returns; an error (no memory is one) means that nothing has
  // changed.
  Status add_service(const AddServiceRequest& request);
  Status set_service(const ServiceAddr& service, const ServicePatch& patch);
  Status del_service(const ServiceAddr& service);
  Status add_rs(const ServiceAddr& service, const AddRsRequest& request);
  Status set_rs(const ServiceAddr& service, const IpAddr& rs, const RsPatch& patch);
  Status del_rs(const ServiceAddr& service, const IpAddr& rs);
  Status add_acl(const ServiceAddr& service, const AddAclRequest& request);
  Status del_acl(const ServiceAddr& service, const std::vector<IpPrefix>& prefixes);
  Status clear_acl(const ServiceAddr& service);
  Status drain_rs(const ServiceAddr& service, const IpAddr& rs, std::uint64_t timeout_ms);
  Result<ReloadReport> reload();
  Status set_panic(bool on);

  // Events.
  /// Publishes when the registry, a next hop or a port is not what the published table was built
  /// from.
  Status refresh();
  void on_check(const CheckTarget& target, bool passed, const std::string& reason);
  /// Removes drained real servers, ends the transitions of slots, passes the workers' wishes on to
  /// the resolver. Every few hundred ms.
  void tick();

  /// Called after each publication that a change of the registry led to: checks(), VIPs and the
  /// state to save may differ.
  void set_on_change(std::function<void()> on_change) { on_change_ = std::move(on_change); }

  // Look.
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Registry& registry() const { return registry_; }
  [[nodiscard]] const Stats& stats() const { return stats_; }
  [[nodiscard]] const std::set<CheckTarget>& checks() const { return checks_; }
  [[nodiscard]] State state() const;
  /// Moves with every change that state() tells.
  [[nodiscard]] std::uint64_t saved_revision() const {
    return registry_.saved_revision() + panic_changes_;
  }
  /// The slots of a service as they were last published; null: it has none.
  [[nodiscard]] std::shared_ptr<const TableObject> slot_table(ServiceId id) const {
    return slot_tables_.find(id);
  }
  [[nodiscard]] ViewInput view() const;
  [[nodiscard]] VersionInfo version() const;
  [[nodiscard]] std::vector<NeighbourInfo> neighbours() const;
  [[nodiscard]] Dataplane& dataplane() const { return parts_.dataplane; }

 private:
  static constexpr std::uint64_t kNotFollowed = ~0ULL;

  void adopt();
  Status change(const std::function<Status()>& operation);
  Status publish();
  void take_back(Registry::Checkpoint before) noexcept;
  void end_drains();
  void end_transitions();
  /// True when exceptions of slots have ended, which is to be published.
  bool scan_exceptions();
  /// Decides anew what is to be checked; true when that is not what it was.
  bool follow();
  NextHops resolve_next_hops();
  [[nodiscard]] std::vector<EgressPort> egress_ports() const;

  Config config_;
  std::string config_path_;
  HashKeys keys_;
  Parts parts_;
  Registry registry_;
  TableBuilder builder_;
  Stats stats_;
  HealthBook health_;
  std::set<CheckTarget> checks_;
  NextHops next_hops_;
  /// By address and VLAN: what an lbd before knew, for as long as the resolver may need.
  std::map<std::pair<IpAddr, std::uint16_t>, MacAddr> last_macs_;
  std::vector<EgressPort> ports_;
  SlotTables slot_tables_;
  std::uint64_t published_revision_ = 0;
  std::uint64_t followed_networks_ = kNotFollowed;
  Generation generation_ = Generation::None;
  std::uint64_t started_ms_;
  std::function<void()> on_change_;
  std::string drain_error_, transition_error_;
  std::uint64_t next_scan_ms_ = 0;
  std::uint64_t panic_changes_ = 0;
  bool panic_restored_ = false;
};

}  // namespace lb
