// SPDX-License-Identifier: Apache-2.0
// KernelIndex, read back: what build_kernel_index() made, in the memory of a map that may hold
// anything.
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <set>

#include "dataplane/table/kernel_index.h"

namespace lb {
namespace {

Scheduler scheduler_like(const lb_index_slot& slot) {
  if ((slot.flags & LB_SVC_STATEFUL) != 0) return Scheduler::Rr;
  switch (slot.slot_hash) {
    case LB_SLOT_BY_CLIENT:
      return Scheduler::Sh;
    case LB_SLOT_BY_VIP:
      return Scheduler::Dh;
    default:
      return Scheduler::Mh;
  }
}

Affinity affinity_of(const lb_index_slot& slot) {
  if ((slot.flags & LB_SVC_ALWAYS) != 0) return Affinity::Always;
  return (slot.flags & LB_SVC_NEVER) != 0 ? Affinity::None : Affinity::Transition;
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const IndexRoom& room)
      : head_(*reinterpret_cast<const lb_index_head*>(bytes.data())),
        slots_(reinterpret_cast<const lb_index_slot*>(bytes.data() + sizeof head_), room.slots),
        ranges_(reinterpret_cast<const lb_index_range*>(slots_.data() + room.slots), room.ranges),
        rs_ids_(reinterpret_cast<const std::uint32_t*>(ranges_.data() + room.ranges), room.ids) {}

  Result<std::vector<IndexedService>> read() {
    if (head_.version != LB_ABI_VERSION) {
      return fail(EINVAL, fmt::format("an index of layout {}", head_.version));
    }
    for (const lb_index_slot& slot : slots_) {
      if (slot.key.family == 0 || slot.key.proto == 0) continue;
      const std::uint16_t port = Be16::load(&slot.key.port_be).host();
      LB_TRY(port != 0 ? add(slot.key, port, port, slot) : add_ranges(slot));
    }
    return std::move(services_);
  }

 private:
  Status add_ranges(const lb_index_slot& group) {
    for (std::uint64_t i = 0; i < group.list_count; ++i) {
      const std::uint64_t at = group.list_first + i;
      if (at >= ranges_.size() || ranges_[at].slot >= slots_.size()) {
        return fail(EINVAL, "an index whose port ranges lie outside of it");
      }
      const lb_index_range& range = ranges_[at];
      LB_TRY(add(group.key, range.first, range.last, slots_[range.slot]));
    }
    return {};
  }

  Status add(const lb_vip_key& key, std::uint16_t first, std::uint16_t last,
             const lb_index_slot& slot) {
    const bool v6 = key.family == raw(Family::V6);
    const bool is_proto =
        key.proto == IPPROTO_TCP || key.proto == IPPROTO_UDP || key.proto == IPPROTO_SCTP;
    if ((!v6 && key.family != raw(Family::V4)) || !is_proto || first == 0 || first > last ||
        slot.service_id == 0) {
      return fail(EINVAL, "an index with a service that cannot be");
    }
    if (!ids_.insert(slot.service_id).second) {
      return fail(EINVAL, fmt::format("an index with service {} twice", slot.service_id));
    }
    IndexedService one;
    one.service.id = static_cast<ServiceId>(slot.service_id);
    one.service.affinity = affinity_of(slot);
    one.service.scheduler = scheduler_like(slot);
    one.service.hash_key = slot.slot_key;
    one.service.address = {.vip = v6 ? IpAddr::v6(key.addr) : IpAddr::v4(Be32::load(key.addr)),
                           .proto = static_cast<Proto>(key.proto),
                           .port_first = first,
                           .port_last = last};
    one.table_ref = slot.table;
    if (one.table_ref != LB_TABLE_NONE) {
      if (slot.table_key != (slot.table & LB_TABLE_KEY_MASK)) {
        return fail(EINVAL, "an index with two keys for a table");
      }
      if (slot.list_first > rs_ids_.size() || slot.list_count > rs_ids_.size() - slot.list_first) {
        return fail(EINVAL, "an index whose real servers lie outside of it");
      }
      for (std::uint32_t id : rs_ids_.subspan(slot.list_first, slot.list_count)) {
        one.service.members.push_back(static_cast<RsId>(id));
      }
    }
    services_.push_back(std::move(one));
    return {};
  }

  const lb_index_head& head_;
  std::span<const lb_index_slot> slots_;
  std::span<const lb_index_range> ranges_;
  std::span<const std::uint32_t> rs_ids_;
  std::vector<IndexedService> services_;
  std::set<std::uint32_t> ids_;
};

}  // namespace

Result<std::vector<IndexedService>> read_kernel_index(std::span<const std::byte> bytes,
                                                      const IndexRoom& room) {
  if (bytes.size() < room.bytes()) {
    return fail(EINVAL, fmt::format("an index of {} bytes, not {}", bytes.size(), room.bytes()));
  }
  return Reader(bytes, room).read();
}

}  // namespace lb
