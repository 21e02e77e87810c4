// SPDX-License-Identifier: Apache-2.0
// SlotShares: what the slots of a service come to for an operator: who owns how many against its
// weight, and what of it is in transition. SlotTables: where the tables of the published generation
// are found. Control's one thread; they look and change nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/base/addr.h"
#include "dataplane/base/ids.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/table_object.h"

namespace lb {

/// A member of a table: a real server or the sorry server.
struct SlotShare {
  IpAddr address;
  bool sorry = false, up = false, drains = false;
  std::uint32_t weight = 0;
  std::uint32_t slots = 0;       ///< that it owns
  double percent = 0;            ///< of all slots
  double percent_wanted = 0;     ///< by its weight among those that take new flows
  std::uint32_t gained = 0;      ///< open slots that it owns and did not when they opened
  std::uint32_t leaving = 0;     ///< open slots that it owned when they opened and does no longer
  std::uint32_t exceptions = 0;  ///< slots that it owns, with flows that stay elsewhere
};

struct SlotShares {
  std::vector<SlotShare> members;  ///< by address, the sorry server last
  std::uint32_t slots = 0;
  std::uint32_t open = 0, exceptions = 0;
  std::uint32_t unowned = 0;  ///< nobody takes their new flows
  /// Until the first and the last of the open slots closes; nullopt: none is open. A deadline that
  /// has passed is 0: control closes the slot with its next look.
  std::optional<std::uint32_t> first_s, last_s;
};

/// `boot_s`: CLOCK_BOOTTIME in seconds, the clock of the deadlines. Trusts no index in the table.
[[nodiscard]] SlotShares slot_shares(const TableObject& table, std::uint32_t boot_s);

class SlotTables {
 public:
  SlotTables() = default;
  explicit SlotTables(const ServiceTable& published);
  /// Null: the service has none, nothing of it was ever up.
  [[nodiscard]] std::shared_ptr<const TableObject> find(ServiceId id) const;

 private:
  struct Entry {
    ServiceId id = ServiceId::None;
    std::shared_ptr<const TableObject> table;
  };
  std::vector<Entry> by_slot_;
};

}  // namespace lb
