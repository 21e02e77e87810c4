// SPDX-License-Identifier: Apache-2.0
#include "control/shared_tables.h"

#include <utility>

namespace lb {

std::string SharedTables::key_of(const TableRecipe& recipe) {
  std::string key;
  for (const void* what : {static_cast<const void*>(recipe.from.get()),
                           static_cast<const void*>(recipe.doubtful.get()),
                           static_cast<const void*>(recipe.stay.get())}) {
    key += bytes_of(what);
  }
  key += bytes_of(recipe.steps.size());
  return key + recipe.steps + recipe.content;
}

void SharedTables::begin(std::uint32_t now_s) {
  if (std::exchange(now_s_, now_s) != now_s) made_.clear();
}

void SharedTables::end() {
  if (made_.size() > kMadeMax) made_.clear();
  std::erase_if(steady_, [](const auto& one) { return one.second.expired(); });
}

std::shared_ptr<const TableObject> SharedTables::find(const TableRecipe& recipe) const {
  const auto at = made_.find(key_of(recipe));
  return at != made_.end() ? at->second.table : nullptr;
}

void SharedTables::add(TableRecipe recipe, std::shared_ptr<const TableObject> table) {
  std::string key = key_of(recipe);
  made_.insert_or_assign(std::move(key), Made{std::move(recipe), std::move(table)});
}

std::shared_ptr<const TableObject> SharedTables::find_steady(const std::string& content) const {
  const auto at = steady_.find(content);
  return at != steady_.end() ? at->second.lock() : nullptr;
}

void SharedTables::add_steady(const std::string& content,
                              const std::shared_ptr<const TableObject>& table) {
  steady_[content] = table;
}

}  // namespace lb
