// SPDX-License-Identifier: Apache-2.0
// JSON text in, Tree out. With json_view.cc and state.cc the files that know Boost.JSON.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <limits>

#include "control/refusal.h"
#include "control/tree.h"

namespace lb {
namespace {

namespace json = boost::json;

Tree convert(const json::value& value) {
  Tree tree;
  switch (value.kind()) {
    case json::kind::null:
      tree.kind = Tree::Kind::Null;
      break;
    case json::kind::bool_:
      tree.kind = Tree::Kind::Bool;
      tree.boolean = value.get_bool();
      break;
    case json::kind::int64:
      tree.kind = Tree::Kind::Integer;
      tree.integer = value.get_int64();
      break;
    case json::kind::uint64:
      tree.kind = Tree::Kind::Integer;
      tree.integer = std::numeric_limits<std::int64_t>::max();
      break;
    case json::kind::double_:
      tree.kind = Tree::Kind::Float;
      break;
    case json::kind::string:
      tree.kind = Tree::Kind::String;
      tree.text = std::string_view(value.get_string());
      break;
    case json::kind::array:
      tree.kind = Tree::Kind::Array;
      for (const auto& item : value.get_array()) tree.items.push_back(convert(item));
      break;
    case json::kind::object:
      tree.kind = Tree::Kind::Table;
      for (const auto& [key, inner] : value.get_object()) {
        tree.entries.push_back(TreeEntry{std::string(std::string_view(key)), {}, convert(inner)});
      }
      break;
  }
  return tree;
}

}  // namespace

Result<Tree> parse_json(std::string_view text) {
  json::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error) return refuse(Refusal::BadRequest, fmt::format("not JSON: {}", error.message()));
  return convert(value);
}

}  // namespace lb
