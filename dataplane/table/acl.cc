// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/acl.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace lb {
namespace {

/// Sorted, and of several with one prefix only the last.
void settle(std::vector<AclEntry>& entries) {
  std::ranges::stable_sort(entries, {}, &AclEntry::prefix);
  // From the end: unique() keeps the first of equals.
  auto rest = std::unique(entries.rbegin(), entries.rend(),
                          [](const auto& a, const auto& b) { return a.prefix == b.prefix; });
  entries.erase(entries.begin(), rest.base());
}

std::uint64_t digest_of(const std::vector<AclEntry>& entries) {
  std::uint64_t digest = 0;
  for (const AclEntry& entry : entries) {
    std::uint64_t words[2] = {};
    std::memcpy(words, entry.prefix.address.data(), sizeof words);
    for (std::uint64_t word : {words[0], words[1], std::uint64_t{entry.rate} << 32 | entry.burst,
                               std::uint64_t{entry.prefix.bits} + 1}) {
      digest = lb_mix64(digest ^ word) + 0x9e3779b97f4a7c15U;
    }
  }
  return digest != 0 ? digest : 1;
}

}  // namespace

Acl Acl::over(std::vector<AclEntry> entries) {
  Acl acl;
  if (entries.empty()) return acl;
  auto list = std::make_shared<List>();
  list->digest = digest_of(entries);
  list->entries = std::move(entries);
  acl.list_ = std::move(list);
  return acl;
}

Acl Acl::of(std::vector<AclEntry> entries) {
  settle(entries);
  return over(std::move(entries));
}

const AclEntry* Acl::find(const IpPrefix& prefix) const noexcept {
  const auto all = entries();
  auto at = std::ranges::lower_bound(all, prefix, {}, &AclEntry::prefix);
  return at != all.end() && at->prefix == prefix ? &*at : nullptr;
}

const AclEntry* Acl::match(const IpAddr& client) const noexcept {
  for (unsigned bits = client.is_v4() ? 33 : 129; bits-- > 0;) {
    if (const AclEntry* entry = find(IpPrefix::of(client, bits))) return entry;
  }
  return nullptr;
}

Acl Acl::with(std::vector<AclEntry> added) const {
  settle(added);
  std::vector<AclEntry> all;
  all.reserve(size() + added.size());
  // Of equals the merge takes those of the first range first: settled, the new ones remain.
  std::ranges::set_union(added, entries(), std::back_inserter(all), {}, &AclEntry::prefix,
                         &AclEntry::prefix);
  return over(std::move(all));
}

Acl Acl::without(std::vector<IpPrefix> prefixes) const {
  std::ranges::sort(prefixes);
  std::vector<AclEntry> rest;
  rest.reserve(size());
  std::ranges::copy_if(entries(), std::back_inserter(rest), [&](const AclEntry& entry) {
    return !std::ranges::binary_search(prefixes, entry.prefix);
  });
  return over(std::move(rest));
}

AclChange difference(const Acl& from, const Acl& to) {
  AclChange change;
  if (from.is_same(to)) return change;
  const auto before = from.entries(), after = to.entries();
  auto a = before.begin(), b = after.begin();
  while (a != before.end() || b != after.end()) {
    if (b == after.end() || (a != before.end() && a->prefix < b->prefix)) {
      change.gone.push_back(*a++);
    } else if (a == before.end() || b->prefix < a->prefix) {
      change.put.push_back(*b++);
    } else {
      if (*a != *b) change.put.push_back(*b);
      ++a;
      ++b;
    }
  }
  auto bits = [](const AclEntry& entry) { return entry.prefix.bits; };
  std::ranges::stable_sort(change.put, std::ranges::greater{}, bits);
  std::ranges::stable_sort(change.gone, {}, bits);
  return change;
}

std::string_view acl_action(const AclEntry& entry) noexcept {
  if (entry.is_limit()) return "limit";
  return entry.rate == LB_ACL_ALLOW ? "allow" : "deny";
}

}  // namespace lb
