// SPDX-License-Identifier: Apache-2.0
// KernelTable: the table of a service whose memory is an inner map of the fast path. Internal to
// FastPath.
#pragma once

#include <linux/bpf.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "dataplane/io/bpf_map.h"
#include "dataplane/table/table_object.h"

namespace lb {

class KernelTable final : public TableObject {
 public:
  KernelTable(BpfMap map, TableRoom room, std::uint32_t table_class) noexcept
      : TableObject(map.memory().data(), room, table_class), map_(std::move(map)) {}
  [[nodiscard]] const BpfMap& map() const noexcept { return map_; }

 private:
  BpfMap map_;
};

inline constexpr std::array<const char*, LB_TABLE_CLASSES> kTableMaps{"tables0", "tables1",
                                                                      "tables2"};

[[nodiscard]] inline BpfMapSpec mapped_array(const char* name, std::uint32_t value_bytes,
                                             std::uint32_t entries) {
  return {.name = name,
          .type = BPF_MAP_TYPE_ARRAY,
          .value_bytes = value_bytes,
          .entries = entries,
          .flags = BPF_F_MMAPABLE};
}
[[nodiscard]] inline BpfMapSpec table_spec(std::uint32_t table_class) {
  return mapped_array("lb_table", static_cast<std::uint32_t>(kTableRooms[table_class].bytes()), 1);
}
[[nodiscard]] inline BpfMapSpec about_spec() { return mapped_array("about", sizeof(lb_about), 1); }

// Pins: a map that is shared by its name, an object by the kernel's id of it, which is what the
// array of maps that names it tells.
// Maps that are made anew are fresh until programs go by them: until then those of the lbd before
// are there, for the next one to take over if this one fails.
inline constexpr const char* kMapPin = "map_";
inline constexpr const char* kFreshPin = "fresh_map_";
inline constexpr const char* kObjectPin = "object_";
[[nodiscard]] inline std::string object_pin(std::uint32_t id) {
  return kObjectPin + std::to_string(id);
}

}  // namespace lb
