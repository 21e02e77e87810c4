// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/acl_tries.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <span>
#include <thread>
#include <utility>

namespace lb {
namespace {

constexpr std::size_t kBatch = 4096;
/// The kernel takes nodes from a small stock, which it fills up in the background.
constexpr int kMemoryTries = 20;
constexpr auto kMemoryPause = std::chrono::milliseconds(1);

template <class Key>
Key key_of(ServiceId service, const IpPrefix& prefix) {
  Key key{};
  key.prefix_bits = LB_ACL_BITS(prefix.bits);
  key.service_id = raw(service);
  std::memcpy(key.addr, prefix.address.data(), sizeof key.addr);
  return key;
}

/// 0, or an errno value with the entries before it done.
template <class Key>
int put_batch(int trie, ServiceId service, std::span<const AclEntry> entries) {
  std::vector<Key> keys;
  std::vector<lb_acl_value> values;
  for (const AclEntry& entry : entries) {
    keys.push_back(key_of<Key>(service, entry.prefix));
    lb_acl_value value{};
    value.rate = entry.rate;
    value.burst = entry.burst;
    values.push_back(value);
  }
  LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
  std::size_t done = 0;
  for (int tried = 0; done < keys.size();) {
    auto count = static_cast<__u32>(keys.size() - done);
    if (bpf_map_update_batch(trie, &keys[done], &values[done], &count, &options) == 0) break;
    const int error = errno;
    if (error != ENOMEM || ++tried == kMemoryTries) return error;
    done += count;
    std::this_thread::sleep_for(kMemoryPause);
  }
  return 0;
}

template <class Key>
void remove_all(int trie, ServiceId service, std::span<const AclEntry> entries) {
  for (const AclEntry& entry : entries) {
    const Key key = key_of<Key>(service, entry.prefix);
    (void)bpf_map_delete_elem(trie, &key);  // it may never have come in
  }
}

/// What turns any of `lists` into `next`.
AclChange change_of(const std::vector<Acl>& lists, const Acl& next) {
  AclChange all = difference(lists.front(), next);
  for (const Acl& list : std::span(lists).subspan(1)) {
    AclChange more = difference(list, next);
    all.put.insert(all.put.end(), more.put.begin(), more.put.end());
    all.gone.insert(all.gone.end(), more.gone.begin(), more.gone.end());
  }
  if (lists.size() > 1) {  // twice in it does no harm
    auto bits = [](const AclEntry& entry) { return entry.prefix.bits; };
    std::ranges::stable_sort(all.put, std::ranges::greater{}, bits);
    std::ranges::stable_sort(all.gone, {}, bits);
  }
  return all;
}

}  // namespace

Result<AclTries> AclTries::create(std::uint32_t entries_max) {
  // What comes is entered before what goes is taken out.
  BpfMapSpec spec{.name = "acl4",
                  .type = BPF_MAP_TYPE_LPM_TRIE,
                  .key_bytes = sizeof(lb_acl_key4),
                  .value_bytes = sizeof(lb_acl_value),
                  .entries = 2 * entries_max,
                  .flags = BPF_F_NO_PREALLOC};
  AclTries tries;
  tries.entries_max_ = entries_max;
  LB_TRY_ASSIGN(tries.trie4_, BpfMap::create(spec));
  spec.name = "acl6";
  spec.key_bytes = sizeof(lb_acl_key6);
  LB_TRY_ASSIGN(tries.trie6_, BpfMap::create(spec));
  return tries;
}

Status AclTries::put(const ServiceTable& table) {
  for (const Service& service : table.services()) {
    auto at = lists_.find(service.id);
    if (at == lists_.end()) {
      if (service.acl.empty()) continue;
      at = lists_.emplace(service.id, Lists{Acl()}).first;
    }
    LB_TRY(put(service, at->second));
  }
  return {};
}

Status AclTries::put(const Service& service, Lists& lists) {
  if (lists.size() == 1 && lists.front().is_same(service.acl)) return {};
  remove_leftovers_of(service.id);
  const AclChange change = change_of(lists, service.acl);
  const std::size_t left = leftover_entries();  // there is room for as much again as is allowed
  if (left + change.put.size() > entries_max_) tidy(left);
  if (!lists.back().is_same(service.acl)) lists.push_back(service.acl);
  const bool v4 = service.address.vip.is_v4();
  for (std::size_t at = 0; at < change.put.size(); at += kBatch) {
    const auto batch = std::span(change.put).subspan(at, std::min(kBatch, change.put.size() - at));
    const int error = v4 ? put_batch<lb_acl_key4>(trie4_.fd(), service.id, batch)
                         : put_batch<lb_acl_key6>(trie6_.fd(), service.id, batch);
    if (error == 0) continue;
    return fail_errno(error, fmt::format("the access list of {}: the kernel does not take {} "
                                         "entries more",
                                         service.address.to_string(), change.put.size()));
  }
  return {};
}

void AclTries::take_away(const ServiceTable& table) {
  for (auto at = lists_.begin(); at != lists_.end();) {
    auto& [id, lists] = *at;
    const Service* service = table.service(id);
    const Acl next = service != nullptr ? service->acl : Acl();
    if (lists.size() > 1 || !lists.front().is_same(next)) take_away(id, next, lists);
    lists.assign(1, next);
    at = next.empty() ? lists_.erase(at) : std::next(at);
  }
}

void AclTries::take_away(ServiceId service, const Acl& next, const Lists& lists) {
  if (next.empty()) {
    for (const Acl& list : lists) {
      if (!list.empty()) leftovers_.push_back({service, list, 0});
    }
    return;
  }
  remove(service, change_of(lists, next).gone);
}

void AclTries::remove(ServiceId service, std::span<const AclEntry> entries) const {
  if (entries.empty()) return;
  if (entries.front().prefix.address.is_v4()) {
    remove_all<lb_acl_key4>(trie4_.fd(), service, entries);
  } else {
    remove_all<lb_acl_key6>(trie6_.fd(), service, entries);
  }
}

void AclTries::tidy(std::size_t most) {
  while (most > 0 && !leftovers_.empty()) {
    Leftover& last = leftovers_.back();
    const auto rest = last.list.entries().subspan(last.done);
    const std::size_t count = std::min(most, rest.size());
    remove(last.service, rest.first(count));
    last.done += count;
    most -= count;
    if (last.done == last.list.size()) leftovers_.pop_back();
  }
}

/// Before the service has a list again.
void AclTries::remove_leftovers_of(ServiceId service) {
  std::erase_if(leftovers_, [&](const Leftover& left) {
    if (left.service != service) return false;
    remove(service, left.list.entries().subspan(left.done));
    return true;
  });
}

std::size_t AclTries::leftover_entries() const {
  std::size_t sum = 0;
  for (const Leftover& left : leftovers_) sum += left.list.size() - left.done;
  return sum;
}

AclCount AclTries::count(ServiceId service, const AclEntry& entry) const {
  lb_acl_value value{};
  int found = -1;
  if (entry.prefix.address.is_v4()) {
    const auto key = key_of<lb_acl_key4>(service, entry.prefix);
    found = bpf_map_lookup_elem(trie4_.fd(), &key, &value);
  } else {
    const auto key = key_of<lb_acl_key6>(service, entry.prefix);
    found = bpf_map_lookup_elem(trie6_.fd(), &key, &value);
  }
  if (found != 0) return {};
  return {.packets = value.packets, .bytes = value.bytes, .over = value.over};
}

}  // namespace lb
