// SPDX-License-Identifier: Apache-2.0
// ExceptionScan: one walk over the flow memories of all workers: in which of the slots that have
// exceptions a living flow still goes to somebody else than the owner. TableKeeper makes it and
// takes it back. Control's one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/table/slot_plan.h"

namespace lb {

/// What the slot of a flow is chosen by.
enum class SlotHash : std::uint8_t {
  Flow = LB_SLOT_BY_FLOW,
  Client = LB_SLOT_BY_CLIENT,
  Vip = LB_SLOT_BY_VIP
};
/// Flow for schedulers that are none of the hashed ones.
[[nodiscard]] SlotHash slot_hash_of(Scheduler scheduler);
/// The hash that lb_hash_slot() is given for this flow.
[[nodiscard]] std::uint64_t hash_of(const FlowInfo& flow, SlotHash hash, const lb_hash_key& secret);

class ExceptionScan {
 public:
  explicit ExceptionScan(const lb_hash_key& flow_key) : flow_key_(flow_key) {}
  /// Flows of other services are of no interest.
  /// `members`: Service::members.
  void add(ServiceId id, SlotHash hash, std::uint64_t hash_key,
           std::shared_ptr<const TableObject> table, std::vector<RsId> members);
  /// A living flow of any service.
  void see(const FlowInfo& flow);

  struct Seen {
    SlotHash hash = SlotHash::Flow;
    std::uint64_t hash_key = 0;
    std::shared_ptr<const TableObject> table;
    std::vector<RsId> members;
    std::set<RsId> up;  ///< of the members
    SlotBits disagree;
  };
  [[nodiscard]] const std::map<ServiceId, Seen>& services() const { return services_; }

 private:
  lb_hash_key flow_key_;
  std::map<ServiceId, Seen> services_;
};

}  // namespace lb
