// SPDX-License-Identifier: Apache-2.0
// SharedTables: one table for all services that would have the same one. Two rules find them. The
// same steps from the same table in the same second end in the same table: so a change that hits
// many services is built once. Steady tables of the same members are the same, whatever they come
// from: so services that went apart meet again. Control's one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "dataplane/table/slot_plan.h"
#include "dataplane/table/table_object.h"

namespace lb {

/// All that a table follows from. Two of the same make the same table.
struct TableRecipe {
  std::shared_ptr<const TableObject> from;  ///< the service's last table; null: it starts anew
  std::shared_ptr<const SlotBits> doubtful, stay;
  std::string steps;    ///< as bytes: what else leads from `from` to the new table
  std::string content;  ///< as bytes: slots, window and members that lead there
};

class SharedTables {
 public:
  /// A generation is built from here on.
  void begin(std::uint32_t now_s);
  /// It is built.
  void end();
  /// The table of this recipe, or null.
  [[nodiscard]] std::shared_ptr<const TableObject> find(const TableRecipe& recipe) const;
  void add(TableRecipe recipe, std::shared_ptr<const TableObject> table);
  /// The steady table (no slot is open or has exceptions) with this content, members in order, or
  /// null.
  [[nodiscard]] std::shared_ptr<const TableObject> find_steady(const std::string& content) const;
  void add_steady(const std::string& content, const std::shared_ptr<const TableObject>& table);

 private:
  static constexpr std::size_t kMadeMax = 64;  ///< they keep what they came from in memory
  struct Made {
    TableRecipe recipe;  ///< keeps alive what the key names
    std::shared_ptr<const TableObject> table;
  };
  [[nodiscard]] static std::string key_of(const TableRecipe& recipe);

  std::uint32_t now_s_ = 0;
  std::unordered_map<std::string, Made> made_;  ///< in this second
  std::unordered_map<std::string, std::weak_ptr<const TableObject>> steady_;
};

/// The bytes of a value, for TableRecipe. REQUIRES: T has no padding.
template <class T>
[[nodiscard]] std::string_view bytes_of(const T& value) {
  static_assert(std::has_unique_object_representations_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace lb
