// SPDX-License-Identifier: Apache-2.0
// TableObject: the table of one service, or of several with the same real servers, in memory, laid
// out as bpf/lb_abi.h says: who owns which slot, and what is written into a packet for whom.
// Control fills it once; then it is immutable and shared: by the generations of ServiceTable in
// which it does not change, by the workers, and (when its memory is an inner BPF map) by the XDP
// program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "bpf/lb_abi.h"
#include "dataplane/base/result.h"

namespace lb {

/// Room of a class of tables. REQUIRES: table_class < LB_TABLE_CLASSES.
struct TableRoom {
  std::uint32_t slots = 0;
  std::uint32_t members = 0;
  [[nodiscard]] constexpr std::size_t bytes() const noexcept {
    return LB_TABLE_BYTES(std::size_t{slots}, std::size_t{members});
  }
};
inline constexpr TableRoom kTableRooms[LB_TABLE_CLASSES] = {{LB_TABLE_SLOTS0, LB_TABLE_MEMBERS0},
                                                            {LB_TABLE_SLOTS1, LB_TABLE_MEMBERS1},
                                                            {LB_TABLE_SLOTS2, LB_TABLE_MEMBERS2}};
/// Not a class of the kernel's: larger than any, for workers only.
inline constexpr std::uint32_t kTableClassNone = LB_TABLE_CLASSES;
/// The smallest class with room for so many, or kTableClassNone.
[[nodiscard]] constexpr std::uint32_t table_class_for(std::uint32_t slots,
                                                      std::uint32_t members) noexcept {
  std::uint32_t c = 0;
  while (c < LB_TABLE_CLASSES && (kTableRooms[c].slots < slots || kTableRooms[c].members < members))
    ++c;
  return c;
}

class TableObject {
 public:
  virtual ~TableObject() = default;
  TableObject(const TableObject&) = delete;
  TableObject& operator=(const TableObject&) = delete;

  [[nodiscard]] std::uint32_t table_class() const noexcept { return class_; }
  [[nodiscard]] const TableRoom& room() const noexcept { return room_; }
  /// Control's thread: ServiceTable::build has looked through it; it does not change any more.
  [[nodiscard]] bool is_checked() const noexcept { return checked_; }
  void set_checked() const noexcept { checked_ = true; }

  // Readers, any thread:
  [[nodiscard]] const lb_table_head& head() const noexcept { return *head_; }
  /// REQUIRES: index < room().members.
  [[nodiscard]] const lb_rs_entry& member(std::uint32_t index) const noexcept { return rs_[index]; }
  [[nodiscard]] const lb_rs_name& name(std::uint32_t index) const noexcept { return names_[index]; }
  /// REQUIRES: slot < head().slots.
  [[nodiscard]] std::uint16_t hot(std::uint32_t slot) const noexcept { return hot_[slot]; }
  [[nodiscard]] std::uint32_t state(std::uint32_t slot) const noexcept { return states_[slot]; }
  /// Asks for hot(slot).
  void prefetch(std::uint32_t slot) const noexcept {
    asm volatile("");  // g++ 12 drops calls of functions that only prefetch
    __builtin_prefetch(&hot_[slot]);
  }

  // Who fills it, before anyone reads it:
  [[nodiscard]] lb_table_head& head() noexcept { return *head_; }
  [[nodiscard]] std::span<lb_rs_entry> members() noexcept { return {rs_, room_.members}; }
  [[nodiscard]] std::span<lb_rs_name> names() noexcept { return {names_, room_.members}; }
  [[nodiscard]] std::span<std::uint16_t> hot_slots() noexcept { return {hot_, room_.slots}; }
  [[nodiscard]] std::span<std::uint32_t> slot_states() noexcept { return {states_, room_.slots}; }

 protected:
  /// `memory` is zeroed, holds room.bytes(), is aligned to 8 and outlives the object.
  TableObject(std::byte* memory, TableRoom room, std::uint32_t table_class) noexcept;

 private:
  TableRoom room_;
  std::uint32_t class_;
  mutable bool checked_ = false;
  lb_table_head* head_;
  lb_rs_entry* rs_;
  lb_rs_name* names_;
  std::uint16_t* hot_;
  std::uint32_t* states_;
};

/// Where table objects come from: the heap, or inner maps that the XDP program can be given.
/// Control's thread.
class TableMemory {
 public:
  virtual ~TableMemory() = default;
  /// An object of the smallest class with room for so many slots and members, zeroed but for the
  /// head's magic and version. Errors: ENOMEM, and what the kernel says of a map.
  [[nodiscard]] virtual Result<std::shared_ptr<TableObject>> make(std::uint32_t slots,
                                                                  std::uint32_t members) = 0;
};

/// Objects on the heap, of exactly the size asked for: tests, and tables over the largest class.
class HeapTableMemory final : public TableMemory {
 public:
  [[nodiscard]] Result<std::shared_ptr<TableObject>> make(std::uint32_t slots,
                                                          std::uint32_t members) override;
};

}  // namespace lb
