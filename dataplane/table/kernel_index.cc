// SPDX-License-Identifier: Apache-2.0
// Robin Hood hashing: a key that is farther from its place goes before one that is nearer, which
// keeps the longest search short (Celis, Larson, Munro, FOCS 1985). What may not be found in
// LB_INDEX_PROBES steps is tried under another secret.
#include "dataplane/table/kernel_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <utility>

namespace lb {
namespace {

constexpr int kSecretsTried = 32;

std::uint16_t slot_hash_of(Scheduler scheduler) {
  switch (scheduler) {
    case Scheduler::Sh:
      return LB_SLOT_BY_CLIENT;
    case Scheduler::Dh:
      return LB_SLOT_BY_VIP;
    default:
      return LB_SLOT_BY_FLOW;
  }
}

std::uint16_t flags_of(const Service& service) {
  std::uint32_t flags = 0;
  if (!is_hashed(service.scheduler)) flags |= LB_SVC_STATEFUL;
  if (service.affinity == Affinity::Always) flags |= LB_SVC_ALWAYS;
  if (service.affinity == Affinity::None) flags |= LB_SVC_NEVER;
  if (!service.acl.empty()) flags |= LB_SVC_ACL;
  return static_cast<std::uint16_t>(flags);
}

lb_vip_key key_of(const IpAddr& address, std::uint8_t proto, std::uint16_t port) {
  lb_vip_key key{};
  std::copy_n(address.data(), sizeof key.addr, key.addr);
  key.port_be = Be16::from_host(port).raw();
  key.proto = proto;
  key.family = raw(address.family());
  return key;
}

lb_index_slot body_of(const Service& service) {
  lb_index_slot slot{};
  slot.service_id = raw(service.id);
  slot.slot_key = service.hash_key;
  slot.table = LB_TABLE_NONE;
  slot.flags = flags_of(service);
  slot.timeout_ms[LB_TIMEOUT_ESTABLISHED] = service.timeouts.established_ms;
  slot.timeout_ms[LB_TIMEOUT_UDP] = service.timeouts.udp_ms;
  slot.timeout_ms[LB_TIMEOUT_SCTP] = service.timeouts.sctp_ms;
  slot.flow_rate = service.flow_rate;
  slot.slot_hash = slot_hash_of(service.scheduler);
  return slot;
}

class Builder {
 public:
  Builder(const ServiceTable& table, std::span<const std::uint32_t> refs, const IndexRoom& room)
      : table_(table), refs_(refs), room_(room), bytes_(room.bytes()) {}

  Result<std::vector<std::byte>> build() {
    for (std::size_t i = 0; i < table_.vips().size(); ++i) add_vip(i);
    for (std::size_t i = 0; i < table_.services().size(); ++i) add_service(i);
    LB_TRY(count_up());
    for (int tried = 0; tried < kSecretsTried; ++tried) {
      if (place_all(secret(tried))) return finish();
    }
    return fail(E2BIG, fmt::format("{} keys of VIPs and services do not fit the XDP program's "
                                   "index of {} slots: raise services_max",
                                   keyed_.size(), room_.slots));
  }

 private:
  struct Range {
    std::uint16_t first, last;
    std::size_t body;  // into bodies_
    [[nodiscard]] bool is_any_port() const { return first == 1 && last == 65535; }
  };

  lb_index_head& head() { return *reinterpret_cast<lb_index_head*>(bytes_.data()); }
  lb_index_slot* slots() {
    return reinterpret_cast<lb_index_slot*>(bytes_.data() + sizeof(lb_index_head));
  }
  lb_index_range* ranges() { return reinterpret_cast<lb_index_range*>(slots() + room_.slots); }
  std::uint32_t* ids() { return reinterpret_cast<std::uint32_t*>(ranges() + room_.ranges); }

  static lb_hash_key secret(int number) {
    const auto n = static_cast<std::uint64_t>(number) + 1;
    return {lb_mix64(n * 0x9e3779b97f4a7c15U), lb_mix64(~n * 0xd6e8feb86659fd93U)};
  }

  void add_vip(std::size_t i) {
    const VipPolicy& vip = table_.vips()[i];
    lb_index_slot slot{};
    slot.key = key_of(vip.address, 0, 0);
    slot.flags = static_cast<std::uint16_t>(table_.vip_flags(i));
    keyed_.push_back(slot);
    std::uint64_t words[2];
    std::memcpy(words, slot.key.addr, sizeof words);
    const std::uint32_t bit = lb_bloom_bit(words[0], words[1]);
    head().vip_bloom[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }

  void add_service(std::size_t i) {
    const Service& service = table_.services()[i];
    const ServiceAddr& address = service.address;
    lb_index_slot slot = body_of(service);
    if (refs_[i] != LB_TABLE_NONE) name_members(service, refs_[i], slot);
    if (!address.is_range()) {
      slot.key = key_of(address.vip, raw(address.proto), address.port_first);
      keyed_.push_back(slot);
      return;
    }
    groups_[{address.vip, raw(address.proto)}].push_back(
        {address.port_first, address.port_last, bodies_.size()});
    bodies_.push_back(slot);
  }

  void name_members(const Service& service, std::uint32_t ref, lb_index_slot& slot) {
    if (service.members.size() > room_.ids - next_id_) return;
    slot.table = ref;
    slot.table_key = ref & LB_TABLE_KEY_MASK;
    slot.list_first = next_id_;
    slot.list_count = static_cast<std::uint16_t>(service.members.size());
    for (RsId id : service.members) ids()[next_id_++] = raw(id);
  }

  /// Ranges of one group lie side by side, any-port last: it hides the others.
  Status count_up() {
    std::uint32_t next = 0;
    for (auto& [key, group] : groups_) {
      std::ranges::sort(group, {},
                        [](const Range& r) { return std::pair(r.is_any_port(), r.first); });
      lb_index_slot slot{};
      slot.key = key_of(key.first, key.second, 0);
      slot.list_first = next;
      slot.list_count = static_cast<std::uint16_t>(group.size());
      keyed_.push_back(slot);
      next += static_cast<std::uint32_t>(group.size());
    }
    if (next <= room_.ranges && keyed_.size() + bodies_.size() <= room_.slots / 2) return {};
    return fail(E2BIG, fmt::format("{} VIPs and services are more than the XDP program's index "
                                   "takes: raise services_max",
                                   keyed_.size() + bodies_.size()));
  }

  bool place_all(const lb_hash_key& key) {
    std::fill_n(slots(), room_.slots, lb_index_slot{});
    for (const lb_index_slot& slot : keyed_) {
      if (!place(slot, key)) return false;
    }
    head().index_key = key;
    return true;
  }

  [[nodiscard]] std::uint32_t home_of(const lb_vip_key& key, const lb_hash_key& secret) const {
    std::uint64_t words[2];
    std::uint32_t what = 0;
    std::memcpy(words, key.addr, sizeof words);
    std::memcpy(&what, &key.port_be, sizeof what);
    return static_cast<std::uint32_t>(lb_hash_vip(words[0], words[1], what, &secret)) &
           (room_.slots - 1);
  }

  bool place(lb_index_slot slot, const lb_hash_key& key) {
    const std::uint32_t mask = room_.slots - 1;
    std::uint32_t at = home_of(slot.key, key);
    for (std::uint32_t away = 0; away < LB_INDEX_PROBES; ++away, at = (at + 1) & mask) {
      lb_index_slot& there = slots()[at];
      if (there.key.family == 0) {
        there = slot;
        return true;
      }
      const std::uint32_t its = (at - home_of(there.key, key)) & mask;
      if (its < away) {
        std::swap(there, slot);
        away = its;
      }
    }
    return false;
  }

  std::vector<std::byte> finish() {
    // Services of ranges go where no key is: a search ends there all the same.
    std::vector<std::uint32_t> places;
    for (std::uint32_t at = 0; places.size() < bodies_.size(); ++at) {
      if (slots()[at].key.family == 0) places.push_back(at);
    }
    for (std::size_t i = 0; i < bodies_.size(); ++i) slots()[places[i]] = bodies_[i];
    std::uint32_t next = 0;
    for (const auto& [key, group] : groups_) {
      for (const Range& range : group) {
        ranges()[next++] = {range.first, range.last, places[range.body]};
      }
    }
    head().flow_key = table_.flow_key();
    head().flags = table_.decrement_ttl() ? LB_INDEX_DECREMENT_TTL : 0;
    head().version = LB_ABI_VERSION;
    return std::move(bytes_);
  }

  const ServiceTable& table_;
  std::span<const std::uint32_t> refs_;
  IndexRoom room_;
  std::vector<std::byte> bytes_;
  std::vector<lb_index_slot> keyed_, bodies_;
  std::map<std::pair<IpAddr, std::uint8_t>, std::vector<Range>> groups_;
  std::uint32_t next_id_ = 0;
};

}  // namespace

IndexRoom IndexRoom::for_services(std::uint32_t services_max, std::uint32_t rs_max) noexcept {
  return {.slots = std::bit_ceil(std::max(8 * services_max, 64U)),
          .ranges = std::bit_ceil(std::max(services_max, 8U)),
          .ids = std::bit_ceil(std::max(2 * (services_max + rs_max), 8U))};
}

Result<std::vector<std::byte>> build_kernel_index(const ServiceTable& table,
                                                  std::span<const std::uint32_t> table_refs,
                                                  const IndexRoom& room) {
  return Builder(table, table_refs, room).build();
}

}  // namespace lb
