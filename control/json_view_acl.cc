// SPDX-License-Identifier: Apache-2.0
// The answers about access lists.
#include <boost/json.hpp>
#include <utility>

#include "control/json_settings.h"
#include "control/json_view.h"

namespace lb {
namespace {

namespace json = boost::json;

json::object row_object(const AclRow& row) {
  const AclEntry& entry = row.entry;
  const bool deny = entry.rate == LB_ACL_DENY;
  const std::uint64_t dropped = deny ? row.count.packets : row.count.over;
  json::object out;
  out["service"] = json_text(row.service.to_string());
  out["prefix"] = json_text(entry.prefix.to_string());
  out["action"] = json_text(acl_action(entry));
  out["limit"] = nullptr;
  out["burst"] = nullptr;
  if (entry.is_limit()) {
    out["limit"] = entry.rate;
    out["burst"] = entry.burst;
  }
  out["packets"] = row.count.packets;
  out["bytes"] = row.count.bytes;
  out["passed"] = row.count.packets - dropped;
  out["dropped"] = dropped;
  return out;
}

}  // namespace

std::string acl_json(const Registry& registry, const AclSelection& selection) {
  json::array rows;
  rows.reserve(selection.rows.size());
  for (const AclRow& row : selection.rows) rows.push_back(row_object(row));
  json::object out;
  out["entries"] = std::move(rows);
  out["shown"] = selection.rows.size();
  out["total"] = selection.total;
  out["acl_entries"] = registry.acl_entries();
  out["acl_max"] = registry.limits().acl_max;
  return json::serialize(out);
}

std::string acl_change_json(const ServiceAddr& service, std::size_t before, std::size_t after) {
  json::object out;
  out["service"] = json_text(service.to_string());
  out["acl_entries_before"] = before;
  out["acl_entries"] = after;
  return json::serialize(out);
}

}  // namespace lb
