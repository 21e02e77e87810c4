// SPDX-License-Identifier: Apache-2.0
#include "control/acl_reader.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <utility>

#include "control/desired.h"

namespace lb {
namespace {

constexpr std::size_t kBadShown = 5;

/// One entry of `acl`; nullopt when its prefix is wrong.
std::optional<AclEntry> read_entry(const Tree& table, const std::string& path, Problems& problems,
                                   const ServiceAddr* service, std::set<IpPrefix>& seen) {
  TableReader reader(table, path, problems);
  AclEntry entry;
  reader.require("prefix", "prefix = \"203.0.113.0/24\"");
  auto prefix = reader.parsed<IpPrefix>("prefix", &IpPrefix::parse);
  read_acl_action(reader, entry);
  reader.finish();
  if (!prefix) return std::nullopt;
  entry.prefix = *prefix;
  if (service != nullptr) {
    auto misfit = acl_misfit(*service, *prefix);
    if (!misfit.empty()) reader.problem("prefix", misfit);
  }
  if (!seen.insert(*prefix).second) {
    reader.problem("prefix", fmt::format("{} is in the list twice", prefix->to_string()));
  }
  return entry;
}

}  // namespace

void read_acl_action(TableReader& reader, AclEntry& entry) {
  const bool has_action = reader.has("action"), has_limit = reader.has("limit");
  auto rate =
      reader.word<std::uint32_t>("action", {{"allow", LB_ACL_ALLOW}, {"deny", LB_ACL_DENY}});
  auto limit = reader.integer("limit", 1, LB_ACL_RATE_MAX);
  auto burst = reader.integer("burst", 1, LB_ACL_BURST_MAX);
  if (has_action == has_limit) {
    reader.problem(has_action ? "limit" : "action",
                   has_action ? "stands beside action: one of the two belongs there"
                              : "is missing (write \"allow\" or \"deny\", or limit: packets a "
                                "second)");
  } else if (!has_limit && reader.has("burst")) {
    reader.problem("burst", "is of a limit, and there is none");
  }
  entry.rate = limit.value_or(rate.value_or(LB_ACL_DENY));
  entry.burst = limit ? burst.value_or(*limit) : 0;
}

std::vector<IpPrefix> read_prefixes(TableReader& reader) {
  reader.require("prefixes", "[\"203.0.113.0/24\"]");
  std::vector<IpPrefix> prefixes;
  const Tree* array = reader.array("prefixes");
  if (array == nullptr) return prefixes;
  std::size_t bad = 0;
  prefixes.reserve(array->items.size());
  for (const Tree& item : array->items) {
    auto prefix = item.kind == Tree::Kind::String
                      ? IpPrefix::parse(item.text)
                      : fail(EINVAL, fmt::format("{} stands here, a string belongs there",
                                                 kind_name(item.kind)));
    if (prefix) {
      prefixes.push_back(*prefix);
    } else if (++bad <= kBadShown) {
      reader.problem("prefixes", prefix.error().message);
    }
  }
  if (bad > kBadShown) {
    reader.problem("prefixes", fmt::format("and {} more like these", bad - kBadShown));
  }
  if (array->items.empty()) reader.problem("prefixes", "is empty");
  return prefixes;
}

Acl read_acl(TableReader& reader, const ServiceAddr* service) {
  std::vector<AclEntry> entries;
  std::set<IpPrefix> seen;
  for (const Tree* table : reader.tables("acl")) {
    auto entry = read_entry(*table, reader.path_of("acl"), reader.problems(), service, seen);
    if (entry) entries.push_back(*entry);
  }
  return Acl::of(std::move(entries));
}

}  // namespace lb
