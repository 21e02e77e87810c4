// SPDX-License-Identifier: Apache-2.0
// FastPath: taking over what an lbd before has left in its pins. XDP programs go on by it
// meanwhile; nothing is changed here that would make them decide otherwise.
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "dataplane/io/fast_path.h"
#include "dataplane/io/kernel_table.h"

namespace lb {
namespace {

std::string difference(const lb_about& theirs, const lb_about& ours) {
  if (theirs.magic != ours.magic) return "its map \"about\" is not an lbd's";
  if (theirs.version != ours.version) {
    return fmt::format("layout {}, this lbd has {}", theirs.version, ours.version);
  }
  if (theirs.flow_key.kind != ours.flow_key.kind) return "made for another hash";
  if (std::memcmp(&theirs.flow_key, &ours.flow_key, sizeof ours.flow_key) != 0) {
    return "made under another hash key: the state file is another one";
  }
  if (std::memcmp(theirs.ifindex, ours.ifindex, sizeof ours.ifindex) != 0) {
    return "made for other ports";
  }
  return fmt::format(
      "made for services_max {}, rs_max {}, {} queues, {} and {} flow buckets, {} CPUs, not for "
      "{}, {}, {}, {} and {}, {}",
      theirs.services_max, theirs.rs_max, theirs.queues, theirs.buckets4, theirs.buckets6,
      theirs.cpus, ours.services_max, ours.rs_max, ours.queues, ours.buckets4, ours.buckets6,
      ours.cpus);
}

}  // namespace

Status FastPath::take_over() {
  auto take = [this](const BpfMapSpec& spec) -> Result<BpfMap> {
    LB_TRY_ASSIGN(Fd fd, pins_.get(kMapPin + spec.name));
    return BpfMap::over(std::move(fd), spec);
  };
  LB_TRY_ASSIGN(about_map_, take(about_spec()));
  const lb_about& theirs = *about_map_.values<lb_about>();
  if (std::memcmp(&theirs, &about_, sizeof about_) != 0) {
    return fail(EINVAL, difference(theirs, about_));
  }
  for (const Shared& shared : shared_) {
    LB_TRY_ASSIGN(*shared.map, take(shared.spec));
  }
  std::set<std::uint32_t> kept;  // ids of objects
  LB_TRY(find_services(kept));
  forget_the_rest(kept);
  adopted_ = true;
  return {};
}

/// The object that an array of maps names. Errors: ENOENT: none; EINVAL: it is not what it should
/// be.
Result<BpfMap> FastPath::object_in(const BpfMap& outer, std::uint32_t key,
                                   const BpfMapSpec& spec) const {
  __u32 id = 0;
  if (bpf_map_lookup_elem(outer.fd(), &key, &id) != 0) return fail_errno(errno, spec.name);
  auto fd = pins_.get(object_pin(id));
  if (!fd) return fail(EINVAL, fmt::format("{} {}: {}", spec.name, id, fd.error().message));
  LB_TRY_ASSIGN(BpfMap map, BpfMap::over(std::move(*fd), spec));
  if (map.id() != id) return fail(EINVAL, fmt::format("{} {}: another map", spec.name, id));
  return map;
}

Status FastPath::find_services(std::set<std::uint32_t>& kept) {
  auto index = object_in(index_, 0, index_spec());
  if (!index) {
    // Killed before its first generation: nothing was forwarded yet.
    if (index.error().code == std::errc::no_such_file_or_directory) return {};
    return std::unexpected(std::move(index).error());
  }
  const std::span<const std::byte> bytes = index->memory().first(index_room_.bytes());
  index_bytes_.assign(bytes.begin(), bytes.end());  // read once: others might write to it
  LB_TRY_ASSIGN(auto services, read_kernel_index(index_bytes_, index_room_));
  Tables tables;
  for (IndexedService& indexed : services) {
    if (slot_of(indexed.service.id) >= sizes_.services_max) {
      return fail(EINVAL, "an index with a service beyond services_max");
    }
    if (indexed.table_ref != LB_TABLE_NONE) {
      LB_TRY(find_table(indexed, tables));
      installed_[slot_of(indexed.service.id)] = {indexed.service.table, indexed.table_ref,
                                                 indexed.service.members};
    }
    found_.push_back(std::move(indexed.service));
  }
  auto* head = reinterpret_cast<lb_index_head*>(index_bytes_.data());
  generation_ = std::exchange(head->generation, 0);
  settle_members(found_);
  for (const auto& [id, table] : tables) kept.insert(id);
  index_id_ = index->id();
  kept.insert(index_id_);
  return {};
}

/// The table that the index names for a service: the same object for all that share it.
Status FastPath::find_table(IndexedService& indexed, Tables& found) {
  const std::uint32_t table_class = indexed.table_ref >> 24;
  const std::uint32_t key = indexed.table_ref & LB_TABLE_KEY_MASK;
  const std::string name = indexed.service.address.to_string();
  if (table_class >= LB_TABLE_CLASSES || key / 2 != slot_of(indexed.service.id)) {
    return fail(EINVAL, fmt::format("{}: an index with a table that cannot be", name));
  }
  auto damaged = [&]() -> Status {
    return fail(EINVAL, fmt::format("{}: its table is damaged", name));
  };
  Service& service = indexed.service;
  __u32 id = 0;
  if (bpf_map_lookup_elem(tables_[table_class].fd(), &key, &id) == 0 && found.contains(id)) {
    service.table = found.at(id);
    return service.members.size() == service.table->head().members ? Status{} : damaged();
  }
  auto map = object_in(tables_[table_class], key, table_spec(table_class));
  if (!map) return fail(EINVAL, fmt::format("{}: {}", name, map.error().message));
  const TableRoom& room = kTableRooms[table_class];
  const lb_table_head head = *map->values<lb_table_head>();  // others might write to it
  if (head.magic != LB_TABLE_MAGIC || head.version != LB_ABI_VERSION || head.slots == 0 ||
      head.slots > room.slots || head.members > room.members ||
      head.members != service.members.size()) {
    return damaged();
  }
  id = map->id();
  service.table = std::make_shared<KernelTable>(std::move(*map), room, table_class);
  found.emplace(id, service.table);
  return {};
}

/// Tables and objects that were not named any more when the last lbd ended in the middle of a
/// change.
void FastPath::forget_the_rest(const std::set<std::uint32_t>& kept) {
  std::vector<std::uint32_t> refs;
  for (std::uint32_t c = 0; c < LB_TABLE_CLASSES; ++c) {
    for (std::uint32_t key = 0; key < 2 * sizes_.services_max; ++key) {
      const Installed& one = installed_[key / 2];
      __u32 id = 0;
      if ((one.table && one.ref == (c << 24 | key)) ||
          bpf_map_lookup_elem(tables_[c].fd(), &key, &id) != 0) {
        continue;
      }
      refs.push_back(c << 24 | key);
    }
  }
  empty_keys(refs);
  std::set<std::string> names;
  for (std::uint32_t id : kept) names.insert(object_pin(id));
  for (const std::string& name : pins_.names(kObjectPin)) {
    if (!names.contains(name)) pins_.remove(name);
  }
}

/// As if nothing had been found.
void FastPath::let_go() {
  for (const Shared& shared : shared_) *shared.map = BpfMap();
  about_map_ = BpfMap();
  found_.clear();
  installed_.assign(installed_.size(), {});
  index_bytes_.clear();
  index_id_ = 0;
  generation_ = 0;
}

}  // namespace lb
