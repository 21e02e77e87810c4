// SPDX-License-Identifier: Apache-2.0
// The one file that knows toml++ (a shared library that throws): text in, Tree out.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <exception>

#include "control/refusal.h"
#include "control/tree.h"

namespace lb {
namespace {

Place place_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

Tree convert(const toml::node& node);

void convert_table(const toml::table& table, Tree& tree) {
  tree.kind = Tree::Kind::Table;
  tree.entries.reserve(table.size());
  for (const auto& [key, value] : table) {
    tree.entries.push_back(
        TreeEntry{std::string(key.str()), place_of(key.source()), convert(value)});
  }
}

Tree convert(const toml::node& node) {
  Tree tree;
  tree.place = place_of(node.source());
  if (const auto* table = node.as_table()) {
    convert_table(*table, tree);
  } else if (const auto* array = node.as_array()) {
    tree.kind = Tree::Kind::Array;
    tree.items.reserve(array->size());
    for (const auto& item : *array) tree.items.push_back(convert(item));
  } else if (const auto* text = node.as_string()) {
    tree.kind = Tree::Kind::String;
    tree.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    tree.kind = Tree::Kind::Integer;
    tree.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    tree.kind = Tree::Kind::Bool;
    tree.boolean = boolean->get();
  } else {
    tree.kind = node.is_floating_point() ? Tree::Kind::Float : Tree::Kind::Date;
  }
  return tree;
}

}  // namespace

Result<Tree> parse_toml(std::string_view text, const std::string& filename) {
  try {
    return convert(toml::parse(text, std::string_view(filename)));
  } catch (const toml::parse_error& error) {
    Place at = place_of(error.source());
    return refuse(Refusal::BadConfig, fmt::format("{}:{}:{}: not TOML: {}", filename, at.line,
                                                  at.column, error.description()));
  } catch (const std::exception& error) {
    return refuse(Refusal::BadConfig, fmt::format("{}: not TOML: {}", filename, error.what()));
  }
}

}  // namespace lb
