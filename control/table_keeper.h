// SPDX-License-Identifier: Apache-2.0
// TableKeeper: the tables of all services over their generations: which member has which index,
// what the last table was, and from that and the service of today the next one. Services for which
// that is the same share it, transitions included. What was built
// counts when commit() says that it is published; until then it can be built again from where it
// was. Control's one thread; it knows no registry and no data plane.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "control/exception_scan.h"
#include "control/settings.h"
#include "control/shared_tables.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/slot_plan.h"
#include "dataplane/table/table_object.h"

namespace lb {

/// How long a slot of this service stays open once its owner has changed, in seconds: never under
/// the idle timeout of its flows, and a little more, because workers take a table later than it is
/// made.
[[nodiscard]] std::uint32_t slot_window_s(const ServiceAddr& address,
                                          const ServiceSettings& settings);

/// How many slots the table of a service with so many members has.
[[nodiscard]] std::uint32_t table_slots(Scheduler scheduler, std::uint32_t mh_slots,
                                        std::uint32_t members);

class TableKeeper {
 public:
  /// What a service is today.
  struct Need {
    Service& service;                          ///< its table and members are filled
    std::span<const RealServer> real_servers;  ///< sorted by address
    const RealServer* sorry = nullptr;
    std::span<const EgressPort> ports;
    std::uint32_t mh_slots = 0;
    std::uint32_t window_s = 0;
    /// No check of one of its real servers has ended yet. Until that is over for the first time,
    /// slots change hands without a transition: whoever comes up has its slots from the lbd before.
    bool starting = false;
  };

  /// `memory` outlives the keeper. `secret`: Maglev arrays are the same for real servers of the
  /// same addresses and weights, in every service and after every restart with this secret.
  TableKeeper(TableMemory& memory, const lb_hash_key& secret) : memory_(memory), secret_(secret) {}

  /// A generation is built from here on. What was built before and not committed was refused.
  void begin(std::uint32_t now_s);
  /// Gives a service its table, once a generation: the one of before when nothing in it changed,
  /// none when it has no member. Errors: EINVAL, E2BIG (too many members), ENOMEM.
  [[nodiscard]] Status give_table(const Need& need);
  /// What was built since begin() is published; services that were not asked for are forgotten.
  void commit();
  /// The table that another lbd has left behind is what the service comes from. EINVAL when it is
  /// not sound: then the service starts anew. REQUIRES: it has one; before the first begin().
  [[nodiscard]] Status adopt(const Service& service);

  /// A member as a table names it.
  struct Named {
    RsId id = RsId::None;
    IpAddr address;
    bool sorry = false;
    bool up = false;
    std::uint16_t vlan = 0;
    std::optional<MacAddr> mac;
  };
  /// Those that have an id. `members`: Service::members.
  [[nodiscard]] static std::vector<Named> named(const TableObject& table,
                                                std::span<const RsId> members);

  // Of what is committed:
  /// When the next open slot has to close.
  [[nodiscard]] std::optional<std::uint32_t> next_deadline_s() const;
  [[nodiscard]] bool has_exceptions() const;
  /// Whether an open slot of this service keeps `rs` as its old owner for flows that are not
  /// remembered.
  [[nodiscard]] bool is_old(const ServiceAddr& service, RsId rs) const;

  /// The slots that have exceptions, for a walk over all flows. REQUIRES: every worker has adopted
  /// what is committed.
  [[nodiscard]] ExceptionScan scan(const lb_hash_key& flow_key) const;
  /// The walk is done: true when exceptions have ended, which the next generation tells. It takes
  /// two walks without a disagreeing flow: a flow that moves in its table may be missed by one.
  [[nodiscard]] bool take(const ExceptionScan& scan);

 private:
  struct Member {
    IpAddr address;
    bool sorry = false;
    friend auto operator<=>(const Member&, const Member&) = default;
  };
  using Members = std::map<Member, std::uint16_t>;  ///< with their indices
  using Backends = std::vector<std::pair<IpAddr, std::uint32_t>>;
  enum class Remembers : std::uint8_t {
    Changes,  ///< flows that meet a slot whose owner has changed
    All,      ///< so that slots need not say when the flow memory is asked
    None
  };
  /// How the packet path comes from a flow of the service to its real server.
  struct Use {
    SlotHash hash = SlotHash::Flow;
    Remembers remembers = Remembers::All;
    friend bool operator==(const Use&, const Use&) = default;
  };
  /// What the owners of the slots follow from: the same of these, the same owners.
  struct Owners {
    std::uint32_t slots = 0;
    Backends backends;                    ///< who takes new flows, with their weights
    std::vector<std::uint16_t> member;    ///< their indices
    std::uint16_t only = LB_SLOT_NOBODY;  ///< owner of all slots when there is no backend
    friend bool operator==(const Owners&, const Owners&) = default;
  };
  /// A table and what it was made of.
  struct Kept {
    ServiceId id = ServiceId::None;
    std::uint64_t hash_key = 0;
    Use use;
    Members members;
    std::vector<RsId> ids;  ///< of the members, by their index
    Owners owners;
    std::shared_ptr<const TableObject> table;
    std::optional<std::uint32_t> deadline_s;
    bool started = true;  ///< Need::starting was false once
  };
  struct Record {
    std::optional<Kept> kept;     ///< committed
    std::optional<Kept> pending;  ///< of this build, if it differs
    std::uint64_t asked_by = 0;   ///< number of the build
    /// Null: none. Workers may have decided these by a table that was refused then.
    std::shared_ptr<const SlotBits> doubtful;
    /// Where exceptions stay; the others end with the next table. Null: all stay.
    std::shared_ptr<const SlotBits> stay;
    [[nodiscard]] const TableObject* table() const { return kept ? kept->table.get() : nullptr; }
  };
  using Entries = std::pair<std::vector<lb_rs_entry>, std::vector<lb_rs_name>>;

  [[nodiscard]] static Use use_of(const Service& service);
  [[nodiscard]] static Members members_of(const Need& need, const Kept* before);
  [[nodiscard]] static std::vector<RsId> ids_of(const Need& need, const Members& members);
  [[nodiscard]] static Entries entries_of(const Need& need, const Members& members);
  [[nodiscard]] static bool same_entries(const TableObject& table, const Entries& entries);
  [[nodiscard]] static Owners owners_of(const Need& need, const Members& members,
                                        std::uint32_t slots);
  [[nodiscard]] bool is_same(const Need& need, const Record& record, const Kept& next) const;
  [[nodiscard]] Result<std::vector<std::uint16_t>> slots_by_owner(const Record& record,
                                                                  const Owners& owners);
  [[nodiscard]] static TableRecipe recipe_of(const Need& need, const Record& record,
                                             const Kept& next, const Entries& entries);
  [[nodiscard]] Result<SlotPlan> plan_of(const Need& need, const Record& record, const Kept& next,
                                         const Entries& entries);
  [[nodiscard]] static std::string content_of(const Need& need, const Kept& next,
                                              const Entries& entries);
  static std::vector<std::uint16_t> put_in_order(const Need& need, Kept& next);
  [[nodiscard]] Status make_table(const Need& need, const Record& record, Kept& next);
  [[nodiscard]] Result<std::shared_ptr<const TableObject>> written(const SlotPlan& plan,
                                                                   const Entries& entries);

  TableMemory& memory_;
  lb_hash_key secret_;
  std::uint32_t now_s_ = 0;
  std::uint64_t builds_ = 0;
  std::map<ServiceAddr, Record> records_;
  SharedTables shared_;
  /// What a walk over the flows of all services that have a table found.
  struct Walk {
    SlotBits disagree;  ///< slots in which one of them does
    std::set<ServiceId> services;
  };
  std::map<std::shared_ptr<const TableObject>, Walk> walked_;  ///< the last one
  /// Maglev arrays of this build, by slots and backends: many services may have the same.
  std::map<std::pair<std::uint32_t, Backends>, std::vector<std::uint16_t>> arrays_;
};

}  // namespace lb
