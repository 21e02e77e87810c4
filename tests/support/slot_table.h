// SPDX-License-Identifier: Apache-2.0
// SlotTable: builds the TableObject of a service for tests and benchmarks: members in the order of
// the spec, owners by Maglev or as the test says. What control does with transitions is not here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/table/maglev.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/table_object.h"
#include "tests/support/name_members.h"

namespace lb::test {

class SlotTable {
 public:
  static constexpr std::uint32_t kSlots = 251;

  /// Slots without an owner. Members: the real servers of the service, then its sorry server.
  SlotTable(const ServiceTableSpec& spec, const Service& service, std::uint32_t slots = kSlots)
      : rs_count_(service.rs_count) {
    std::vector<const RealServer*> servers;
    for (std::uint32_t i = 0; i < service.rs_count; ++i) {
      servers.push_back(&spec.real_servers.at(service.rs_first + i));
    }
    if (service.sorry != Service::kNoSorry) servers.push_back(&spec.real_servers.at(service.sorry));
    auto made = HeapTableMemory().make(slots, static_cast<std::uint32_t>(servers.size()));
    if (!made) std::abort();
    object_ = std::move(*made);
    object_->head().slots = slots;
    object_->head().members = static_cast<std::uint32_t>(servers.size());
    for (std::size_t i = 0; i < servers.size(); ++i) name(i, *servers[i], i == service.rs_count);
    for (std::uint32_t slot = 0; slot < slots; ++slot) set_owner(slot, LB_SLOT_NOBODY);
  }

  /// Owners as Maglev has them over those that take new flows; the sorry server when none does.
  SlotTable& maglev() {
    std::vector<MaglevBackend> backends;
    bool any = false;
    for (std::uint32_t i = 0; i < rs_count_; ++i) {
      const bool takes = (object_->member(i).flags & (LB_RS_UP | LB_RS_DRAINS)) == LB_RS_UP;
      any = any || takes;
      backends.push_back(
          {lb_mix64(i + 7), lb_mix64(i + 1000), takes ? object_->name(i).weight : 0});
    }
    if (any) {
      auto owners = build_maglev(backends, object_->head().slots);
      if (!owners) std::abort();
      for (std::uint32_t slot = 0; slot < owners->size(); ++slot) set_owner(slot, (*owners)[slot]);
    } else if (object_->head().members > rs_count_ &&
               (object_->member(rs_count_).flags & LB_RS_UP) != 0) {
      for (std::uint32_t slot = 0; slot < object_->head().slots; ++slot) set_owner(slot, rs_count_);
    }
    return *this;
  }

  /// Member indices; LB_SLOT_NOBODY for none.
  SlotTable& set_owner(std::uint32_t slot, std::uint32_t owner) {
    std::uint16_t& word = object_->hot_slots()[slot];
    word = static_cast<std::uint16_t>((word & LB_SLOT_ASK) | owner);
    return *this;
  }
  SlotTable& open(std::uint32_t slot, std::uint32_t old) {
    object_->hot_slots()[slot] |= LB_SLOT_ASK;
    object_->slot_states()[slot] = LB_STATE_OPEN | old;
    ++object_->head().open_slots;
    return *this;
  }
  /// The slot is closed, and the memory knows flows that do not agree with its owner.
  SlotTable& except(std::uint32_t slot) {
    object_->hot_slots()[slot] |= LB_SLOT_ASK;
    object_->slot_states()[slot] = LB_STATE_EXCEPTIONS | LB_SLOT_NOBODY;
    ++object_->head().exception_slots;
    return *this;
  }
  [[nodiscard]] std::uint32_t owner(std::uint32_t slot) const {
    return object_->hot(slot) & LB_SLOT_OWNER;
  }
  [[nodiscard]] std::uint32_t slots() const { return object_->head().slots; }
  [[nodiscard]] std::shared_ptr<TableObject> take() { return std::move(object_); }

 private:
  void name(std::size_t index, const RealServer& rs, bool sorry) {
    lb_rs_entry& entry = object_->members()[index];
    entry.place = static_cast<std::uint32_t>(index) + 1;
    std::ranges::copy(rs.mac.bytes, entry.macs);
    entry.vlan = rs.vlan;
    entry.egress = raw(rs.egress);
    unsigned flags = LB_RS_EGRESS_UP;
    if (rs.up) flags |= LB_RS_UP;
    if (rs.weight == 0) flags |= LB_RS_DRAINS;
    if (rs.has_mac) flags |= LB_RS_HAS_MAC;
    entry.flags = static_cast<std::uint16_t>(flags);
    lb_rs_name& who = object_->names()[index];
    std::copy_n(rs.address.data(), sizeof who.addr, who.addr);
    who.family = raw(rs.address.family());
    who.sorry = sorry ? 1 : 0;
    who.weight = rs.weight;
  }

  std::uint32_t rs_count_;
  std::shared_ptr<TableObject> object_;
};

/// Tables for a spec that a test has written, as control would build them when nothing is in
/// transition.
inline void give_tables(ServiceTableSpec& spec, std::uint32_t slots = SlotTable::kSlots) {
  for (Service& service : spec.services) {
    service.table = SlotTable(spec, service, slots).maglev().take();
    name_members(spec, service);
  }
}

}  // namespace lb::test
