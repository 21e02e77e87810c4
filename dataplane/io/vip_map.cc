// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/vip_map.h"

#include <algorithm>
#include <cstring>

namespace lb {
namespace {

int compare(const lb_vip_key& a, const lb_vip_key& b) noexcept {
  return std::memcmp(&a, &b, sizeof a);  // no holes: lb_abi.h
}

VipEntries sorted(VipEntries entries) {
  std::ranges::sort(entries,
                    [](const auto& a, const auto& b) { return compare(a.key, b.key) < 0; });
  return entries;
}

}  // namespace

VipMapChange vip_map_change(const VipEntries& from, const VipEntries& to) {
  VipEntries before = sorted(from);
  VipEntries after = sorted(to);
  VipMapChange change;
  auto old = before.begin();
  for (const auto& entry : after) {
    while (old != before.end() && compare(old->key, entry.key) < 0) {
      change.remove.push_back((old++)->key);
    }
    bool known = old != before.end() && compare(old->key, entry.key) == 0;
    if (!known || std::memcmp(&old->value, &entry.value, sizeof entry.value) != 0) {
      change.put.push_back(entry);
    }
    if (known) ++old;
  }
  for (; old != before.end(); ++old) change.remove.push_back(old->key);
  return change;
}

VipEntries VipMapMirror::entries() const {
  VipEntries all;
  all.reserve(held_.size());
  for (const auto& [key, value] : held_) all.push_back({key, value});
  return all;
}

}  // namespace lb
