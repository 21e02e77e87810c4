// SPDX-License-Identifier: Apache-2.0
// SlotPlan: who owns which slot of a service, and what of that is in transition. Pure: no clock, no
// I/O; a plan is made of the one before it. A slot is steady, open or closed with exceptions. The
// first change of its owner opens it: for a window it keeps whom it had before (old), so that flows
// which nobody remembers find their real server. Then it closes, with exceptions as long as a
// remembered flow disagrees with the owner. Kept in the words of bpf/lb_abi.h: a plan is written
// into a TableObject, and read back by the next lbd, as it stands. Control's one thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/result.h"
#include "dataplane/table/table_object.h"

namespace lb {

/// A bit for each slot of a service, or for each member.
using SlotBits = std::vector<bool>;
using MemberBits = std::vector<bool>;

class SlotPlan {
 public:
  struct Slot {
    std::uint16_t owner = LB_SLOT_NOBODY;  ///< member index
    std::uint16_t old = LB_SLOT_NOBODY;    ///< of an open slot
    bool open = false;
    bool exceptions = false;       ///< never while it is open
    std::uint32_t deadline_s = 0;  ///< of an open slot
    friend bool operator==(const Slot&, const Slot&) = default;
  };
  /// What a service has become.
  struct Change {
    std::span<const std::uint16_t> owners;  ///< by slot: member index or LB_SLOT_NOBODY
    const MemberBits& alive;                ///< who is still there and up; shorter: the rest is not
    std::uint32_t now_s = 0;                ///< CLOCK_BOOTTIME
    std::uint32_t window_s = 0;             ///< how long a slot that opens now stays open
  };

  /// Without a slot.
  SlotPlan() = default;
  /// Every slot is steady.
  explicit SlotPlan(std::vector<std::uint16_t> owners);
  /// What is in a table that another lbd may have built. EINVAL when that cannot be one: then
  /// nothing of it is to be believed.
  [[nodiscard]] static Result<SlotPlan> read(const TableObject& table);
  /// Fills the slots and what the head says of them; the members are their owner's to fill.
  /// REQUIRES: `to` has room for slots().
  void write(TableObject& to) const;

  /// The next plan. Open slots whose old is dead close; changed owners take over, and what was
  /// steady or closed opens, unless its owner of the moment is dead. REQUIRES: as many owners as
  /// slots().
  void advance(const Change& change);
  /// Closes the slots whose deadline has come; true when there was one. They close with exceptions,
  /// but for those of which `disagree` says that no living flow disagrees; null: nobody knows.
  bool close_due(std::uint32_t now_s, const SlotBits* disagree = nullptr);
  /// Ends the exceptions of slots in which no living flow disagrees any more; true when there was
  /// one. `disagree` may be shorter: nobody does.
  bool clear_exceptions(const SlotBits& disagree);
  /// Nobody knows any more whether the flows of these slots follow them: the flow memory is asked
  /// first.
  void except(const SlotBits& which);
  void except_all();
  /// Gives the members other indices: `to`, by the index before.
  void renumber(const std::vector<std::uint16_t>& to);
  /// Where the packet path decides otherwise by `other`; everywhere when it has another number of
  /// slots.
  [[nodiscard]] SlotBits differs_from(const SlotPlan& other) const;
  /// The same plan on another number of slots: each takes over from the one in whose share of the
  /// hashes its middle lies. Flows at the borders change hands.
  [[nodiscard]] SlotPlan resized(std::uint32_t slots) const;

  [[nodiscard]] std::uint32_t slots() const noexcept {
    return static_cast<std::uint32_t>(hot_.size());
  }
  [[nodiscard]] Slot slot(std::uint32_t index) const;
  [[nodiscard]] std::uint32_t window_s() const noexcept { return window_s_; }
  [[nodiscard]] std::uint32_t open_slots() const noexcept;
  [[nodiscard]] std::uint32_t exception_slots() const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> next_deadline_s() const noexcept;
  friend bool operator==(const SlotPlan& a, const SlotPlan& b);

 private:
  static constexpr std::uint32_t kNone = LB_DEADLINES;
  [[nodiscard]] bool is_open(std::size_t slot) const noexcept {
    return (hot_[slot] & LB_SLOT_ASK) != 0 && (states_[slot] & LB_STATE_OPEN) != 0;
  }
  [[nodiscard]] std::uint32_t deadline_of(std::size_t slot) const noexcept {
    return states_[slot] >> LB_STATE_DEADLINE_SHIFT & LB_STATE_DEADLINE;
  }
  void close(std::size_t slot, bool exceptions) noexcept;
  void except_one(std::size_t slot) noexcept;
  [[nodiscard]] bool read_slot(const TableObject& table, std::uint32_t members, std::uint32_t slot);
  [[nodiscard]] std::uint32_t deadline_index(std::uint32_t deadline_s);
  [[nodiscard]] std::uint32_t find_deadline(std::uint32_t deadline_s) const noexcept;
  [[nodiscard]] std::uint32_t free_deadline() const noexcept;
  void merge_deadlines();

  std::vector<std::uint16_t> hot_;
  std::vector<std::uint32_t> states_;  ///< kSteady where no slot asks
  std::array<std::uint32_t, LB_DEADLINES> deadline_s_{};
  std::array<std::uint32_t, LB_DEADLINES> opened_{};  ///< open slots by deadline; 0: it is free
  std::uint32_t window_s_ = 0;
};

}  // namespace lb
