// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/fast_path.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "dataplane/io/kernel_table.h"

namespace lb {
namespace {

/// Of all CPUs: as far as the verifier lets a program reach into one value.
constexpr std::uint64_t kRsCountsMax = (std::uint64_t{1} << 29) / sizeof(lb_rs_count);

}  // namespace

FastPath::FastPath(const FastPathSizes& sizes, const FastPathPins& pins)
    : sizes_(sizes),
      pins_(pins.dir),
      cpus_(static_cast<std::uint32_t>(std::max(1, libbpf_num_possible_cpus()))),
      index_room_(IndexRoom::for_services(sizes.services_max, sizes.rs_max)),
      sums_(sizes.services_max, sizes.rs_max),
      installed_(sizes.services_max) {
  about_ = {.magic = LB_ABOUT_MAGIC,
            .version = LB_ABI_VERSION,
            .services_max = sizes.services_max,
            .rs_max = sizes.rs_max,
            .queues = sizes.queues,
            .buckets4 = sizes.buckets4,
            .buckets6 = sizes.buckets6,
            .cpus = cpus_,
            .flow_key = pins.flow_key,
            .ifindex = {}};
  about_.flow_key.kind = sizes.hash;
  for (std::size_t i = 0; i < pins.ifindexes.size() && i < LB_PORTS_MAX; ++i) {
    about_.ifindex[i] = static_cast<std::uint32_t>(pins.ifindexes[i]);
  }
  list_maps();
}

Result<std::unique_ptr<FastPath>> FastPath::create(const FastPathSizes& sizes) {
  static const PinDir nowhere;
  return create(sizes, {.dir = nowhere, .flow_key = {}, .ifindexes = {}, .adopt = false});
}

Result<std::unique_ptr<FastPath>> FastPath::create(const FastPathSizes& sizes,
                                                   const FastPathPins& pins) {
  std::unique_ptr<FastPath> path(new FastPath(sizes, pins));
  if (std::uint64_t{path->cpus_} * sizes.rs_max > kRsCountsMax) {
    return fail(E2BIG, fmt::format("rs_max = {}: with {} CPUs XDP can count for {} at most",
                                   sizes.rs_max, path->cpus_, kRsCountsMax / path->cpus_));
  }
  LB_TRY_ASSIGN(path->acl_, AclTries::create(sizes.acl_max));  // filled anew by each lbd
  pins.dir.remove_all(kFreshPin);  // of an lbd that was killed before they were in force
  if (pins.dir && pins.adopt) {
    Status taken = path->take_over();
    if (taken) return path;
    path->let_go();
    if (!pins.dir.names(kMapPin).empty()) {
      spdlog::warn(
          "pins {}: not taken over, all maps are made anew (flows go on as far as their hash, "
          "where it is the same, leads them): {}",
          pins.dir.path(), taken.error().message);
    }
  }
  path->fresh_ = static_cast<bool>(pins.dir);
  path->theirs_ = pins.dir.names(kObjectPin);
  LB_TRY(path->make_maps());
  return path;
}

FastPath::~FastPath() {
  if (!fresh_) return;
  pins_.remove_all(kFreshPin);
  for (const std::string& name : pins_.names(kObjectPin)) {
    if (!std::ranges::binary_search(theirs_, name)) pins_.remove(name);
  }
}

/// The map `about` goes first and comes last: without it nothing is taken over.
void FastPath::settle_pins() {
  if (!std::exchange(fresh_, false)) return;
  pins_.remove(kMapPin + about_spec().name);
  pins_.remove_all(kMapPin);
  for (const std::string& name : std::exchange(theirs_, {})) pins_.remove(name);
  std::vector<std::string> names;
  for (const Shared& shared : shared_) names.push_back(shared.spec.name);
  names.push_back(about_spec().name);
  for (const std::string& name : names) {
    if (Status kept = pins_.rename(kFreshPin + name, kMapPin + name); !kept) {
      spdlog::error("the next lbd cannot take over from this one: {}", kept.error().message);
      return;
    }
  }
}

BpfMapSpec FastPath::index_spec() const {
  return mapped_array("lb_index", static_cast<std::uint32_t>(index_room_.bytes()), 1);
}

void FastPath::list_maps() {
  const std::uint32_t services = sizes_.services_max;
  auto objects = [](const char* name, std::uint32_t entries) {
    return BpfMapSpec{.name = name, .type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .entries = entries};
  };
  auto add = [this](BpfMap& map, BpfMapSpec spec) {
    shared_.push_back({.map = &map, .spec = std::move(spec), .inner = std::nullopt});
  };
  add(devs_, {.name = "devs", .type = BPF_MAP_TYPE_DEVMAP, .entries = LB_PORTS_MAX});
  add(beats_, mapped_array("beats", sizeof(lb_beat), LB_QUEUES_MAX));
  add(service_counts_, mapped_array("service_counts", sizeof(lb_service_count), cpus_ * services));
  add(rs_counts_, mapped_array("rs_counts", cpus_ * sizes_.rs_max * sizeof(lb_rs_count), 1));
  add(rs_members_, mapped_array("rs_members", sizeof(lb_rs_member), sizes_.rs_max));
  add(flows4_, mapped_array("flows4", sizeof(lb_flow_bucket4), sizes_.queues * sizes_.buckets4));
  add(flows6_, mapped_array("flows6", sizeof(lb_flow_bucket6), sizes_.queues * sizes_.buckets6));
  add(index_, objects("vip_index", 1));
  shared_.back().inner = index_spec();
  for (std::uint32_t c = 0; c < LB_TABLE_CLASSES; ++c) {
    add(tables_[c], objects(kTableMaps[c], 2 * services));
    shared_.back().inner = table_spec(c);
  }
}

Status FastPath::make_maps() {
  for (const Shared& shared : shared_) {
    BpfMapSpec spec = shared.spec;
    BpfMap pattern;
    if (shared.inner) {
      LB_TRY_ASSIGN(pattern, BpfMap::create(*shared.inner));
      spec.inner_fd = pattern.fd();
    }
    LB_TRY_ASSIGN(*shared.map, BpfMap::create(spec));
    LB_TRY(pins_.pin(kFreshPin + spec.name, shared.map->fd()));
  }
  if (!pins_) return {};
  LB_TRY_ASSIGN(about_map_, BpfMap::create(about_spec()));
  *about_map_.values<lb_about>() = about_;
  return pins_.pin(kFreshPin + about_spec().name, about_map_.fd());
}

Result<std::shared_ptr<TableObject>> FastPath::make(std::uint32_t slots, std::uint32_t members) {
  const std::uint32_t table_class = table_class_for(slots, members);
  if (table_class == kTableClassNone) return HeapTableMemory().make(slots, members);
  LB_TRY_ASSIGN(BpfMap map, BpfMap::create(table_spec(table_class)));
  return std::make_shared<KernelTable>(std::move(map), kTableRooms[table_class], table_class);
}

void FastPath::give_to(BpfSpec& spec) const {
  for (const Shared& shared : shared_) {
    spec.shared_maps.push_back({shared.spec.name, shared.map->fd()});
  }
  spec.shared_maps.push_back({"acl4", acl_.fd4()});
  spec.shared_maps.push_back({"acl6", acl_.fd6()});
  spec.constant("index_mask", index_room_.slots - 1)
      .constant("range_mask", index_room_.ranges - 1)
      .constant("ids_mask", index_room_.ids - 1)
      .constant("ids_offset",
                static_cast<__u32>(LB_IDS_OFFSET(index_room_.slots, index_room_.ranges)))
      .constant("services_max", sizes_.services_max)
      .constant("rs_max", sizes_.rs_max)
      .constant("rs_counts_max", cpus_ * sizes_.rs_max)
      .constant("flow_buckets4", sizes_.buckets4)
      .constant("flow_buckets6", sizes_.buckets6)
      .constant("flow_hash_kind", static_cast<__u32>(sizes_.hash));
}

Status FastPath::install(const ServiceTable& table) {
  LB_ASSERT(table.flow_key().kind == sizes_.hash);
  name_members(table);
  LB_TRY(acl_.put(table));
  std::vector<std::uint32_t> refs;
  Changes changes;
  Status installed = install_tables(table, refs, changes);
  if (installed) installed = install_index(table, refs);
  if (!installed) {
    refuse(std::move(changes));
    return installed;
  }
  accept(std::move(changes));
  settle_members(table.services());
  found_.clear();
  return {};
}

void FastPath::forget_others(const ServiceTable& table) {
  settle_pins();
  acl_.take_away(table);
  forget_tables(table);
}

void FastPath::set_member(RsId id, std::uint32_t lb_rs_member::* which, std::uint32_t index) {
  if (id == RsId::None || slot_of(id) >= sizes_.rs_max) return;
  __atomic_store_n(&(rs_members_.values<lb_rs_member>()[slot_of(id)].*which), index,
                   __ATOMIC_RELEASE);
}

/// The tables of these services are the ones in force.
void FastPath::settle_members(std::span<const Service> services) {
  for (const Service& service : services) {
    for (std::uint32_t i = 0; i < service.members.size(); ++i) {
      set_member(service.members[i], &lb_rs_member::now, i);
      set_member(service.members[i], &lb_rs_member::next, i);
    }
  }
}

/// Where a member stands in the table of its service is told before a table names it there. What it
/// forwards from then on counts for its service.
void FastPath::name_members(const ServiceTable& table) {
  bool taken = false;
  for (const Service& service : table.services()) {
    for (std::uint32_t i = 0; i < service.members.size(); ++i) {
      const std::uint32_t slot = slot_of(service.members[i]);
      if (service.members[i] == RsId::None || slot >= sizes_.rs_max) continue;
      set_member(service.members[i], &lb_rs_member::next, i);
      if (sums_.belongs(slot, slot_of(service.id))) continue;
      if (!std::exchange(taken, true)) take_sums();
      sums_.assign(slot, slot_of(service.id));
    }
  }
}

Status FastPath::install_tables(const ServiceTable& table, std::vector<std::uint32_t>& refs,
                                Changes& changes) {
  struct Batch {
    std::vector<__u32> keys;
    std::vector<int> fds;
  };
  std::array<Batch, LB_TABLE_CLASSES> batches;
  std::set<const TableObject*> pinned;
  for (const Installed& one : installed_) pinned.insert(one.table.get());
  for (const Service& service : table.services()) {
    const std::uint32_t slot = slot_of(service.id);
    const auto* kernel = dynamic_cast<const KernelTable*>(service.table.get());
    if (kernel == nullptr) {
      refs.push_back(LB_TABLE_NONE);
      continue;
    }
    const Installed& before = installed_[slot];
    if (before.table == service.table) {
      refs.push_back(before.ref);
      if (before.members != service.members) {
        changes.emplace_back(slot, Installed{before.table, before.ref, service.members});
      }
      continue;
    }
    std::uint32_t key = before.ref != LB_TABLE_NONE ? before.ref & LB_TABLE_KEY_MASK : 2 * slot;
    if (before.members != service.members) key ^= 1U;
    refs.push_back(kernel->table_class() << 24 | key);
    batches[kernel->table_class()].keys.push_back(key);
    batches[kernel->table_class()].fds.push_back(kernel->map().fd());
    changes.emplace_back(slot, Installed{service.table, refs.back(), service.members});
    if (!pins_ || !pinned.insert(kernel).second) continue;
    // Before it is named: what is named and not kept would be lost with this process.
    LB_TRY(pins_.pin(object_pin(kernel->map().id()), kernel->map().fd()));
  }
  for (std::uint32_t c = 0; c < LB_TABLE_CLASSES; ++c) {
    auto count = static_cast<__u32>(batches[c].keys.size());
    if (count == 0) continue;
    LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
    if (bpf_map_update_batch(tables_[c].fd(), batches[c].keys.data(), batches[c].fds.data(), &count,
                             &options) != 0) {
      return fail_errno(errno, fmt::format("{}: install tables", kTableMaps[c]));
    }
  }
  return {};
}

void FastPath::accept(Changes changes) {
  for (auto& [slot, now] : changes) {
    Installed& before = installed_[slot];
    const bool moved = before.ref != now.ref && before.ref != LB_TABLE_NONE;
    if (moved) stale_.insert(before.ref);
    if (before.table && before.table != now.table) replaced_.push_back(std::move(before.table));
    before = std::move(now);
  }
}

/// What was written under another key is named by no index. Of the rest the kernel tells which
/// table is in force: some may be the new one, under the same list of members.
void FastPath::refuse(Changes changes) {
  std::vector<std::shared_ptr<const TableObject>> refused;
  for (auto& [slot, one] : changes) {
    Installed& before = installed_[slot];
    if (one.ref != before.ref) {
      stale_.insert(one.ref);
    } else if (one.table != before.table && is_in_force(one)) {
      std::swap(before.table, one.table);
    }
    refused.push_back(std::move(one.table));
  }
  unpin_unused(refused);
}

bool FastPath::is_in_force(const Installed& one) const {
  const __u32 key = one.ref & LB_TABLE_KEY_MASK;
  __u32 id = 0;
  return bpf_map_lookup_elem(tables_[one.ref >> 24].fd(), &key, &id) == 0 &&
         id == static_cast<const KernelTable&>(*one.table).map().id();
}

Status FastPath::install_index(const ServiceTable& table, std::span<const std::uint32_t> refs) {
  LB_TRY_ASSIGN(auto bytes, build_kernel_index(table, refs, index_room_));
  if (bytes == index_bytes_) return {};
  LB_TRY_ASSIGN(BpfMap inner, BpfMap::create(index_spec()));
  std::memcpy(inner.memory().data(), bytes.data(), bytes.size());
  inner.values<lb_index_head>()->generation = ++generation_;
  __u32 zero = 0;
  int fd = inner.fd();
  if (pins_) LB_TRY(pins_.pin(object_pin(inner.id()), fd));
  if (bpf_map_update_elem(index_.fd(), &zero, &fd, BPF_ANY) != 0) {
    const int error = errno;
    pins_.remove(object_pin(inner.id()));
    return fail_errno(error, "vip_index: install the index");
  }
  if (index_id_ != 0) pins_.remove(object_pin(index_id_));
  index_id_ = inner.id();
  index_bytes_ = std::move(bytes);
  return {};
}

/// Those of the tables that no service has any more need not be kept.
void FastPath::unpin_unused(const std::vector<std::shared_ptr<const TableObject>>& tables) const {
  if (!pins_ || tables.empty()) return;
  std::set<const TableObject*> used;
  for (const Installed& one : installed_) used.insert(one.table.get());
  for (const auto& table : tables) {
    if (!table || !used.insert(table.get()).second) continue;
    pins_.remove(object_pin(static_cast<const KernelTable&>(*table).map().id()));
  }
}

/// Keys that no index names. To delete one waits for a grace period of the kernel, for each; so an
/// empty table, the same for all, takes their places at once. What cannot be written stays until it
/// is named.
void FastPath::empty_keys(std::span<const std::uint32_t> refs) {
  for (std::uint32_t c = 0; c < LB_TABLE_CLASSES; ++c) {
    std::vector<__u32> keys;
    for (std::uint32_t ref : refs) {
      if (ref >> 24 == c) keys.push_back(ref & LB_TABLE_KEY_MASK);
    }
    if (keys.empty()) continue;
    if (empty_[c].fd() < 0) {
      auto made = BpfMap::create(table_spec(c));
      if (!made) continue;
      empty_[c] = std::move(*made);
    }
    const std::vector<int> fds(keys.size(), empty_[c].fd());
    auto count = static_cast<__u32>(keys.size());
    LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
    std::ignore = bpf_map_update_batch(tables_[c].fd(), keys.data(), fds.data(), &count, &options);
  }
}

/// Tables that the index does not name any more.
void FastPath::forget_tables(const ServiceTable& table) {
  std::vector<bool> used(installed_.size());
  for (const Service& service : table.services()) {
    if (service.table) used[slot_of(service.id)] = true;
  }
  for (std::uint32_t slot = 0; slot < installed_.size(); ++slot) {
    if (used[slot] || installed_[slot].ref == LB_TABLE_NONE) continue;
    stale_.insert(installed_[slot].ref);
    replaced_.push_back(std::move(installed_[slot].table));
    installed_[slot] = {};
  }
  std::vector<std::uint32_t> refs;
  for (std::uint32_t ref : std::exchange(stale_, {})) {
    if (installed_[(ref & LB_TABLE_KEY_MASK) / 2].ref != ref) refs.push_back(ref);
  }
  empty_keys(refs);
  unpin_unused(std::exchange(replaced_, {}));
}

std::vector<FastPath::Object> FastPath::objects() const {
  std::vector<Object> all;
  if (index_id_ != 0) all.push_back({"lb_index", index_id_, index_room_.bytes()});
  std::set<const TableObject*> seen{nullptr};
  for (const Installed& one : installed_) {
    if (!seen.insert(one.table.get()).second) continue;
    all.push_back({"lb_table", static_cast<const KernelTable&>(*one.table).map().id(),
                   one.table->room().bytes()});
  }
  return all;
}

bool FastPath::keeps(std::string_view map) const {
  return pins_ && std::ranges::any_of(
                      shared_, [&](const Shared& shared) { return shared.spec.name == map; });
}

std::span<std::byte> FastPath::flows4(std::uint32_t queue) const noexcept {
  const std::size_t bytes = std::size_t{sizes_.buckets4} * sizeof(lb_flow_bucket4);
  return flows4_.memory().subspan(queue * bytes, bytes);
}

std::span<std::byte> FastPath::flows6(std::uint32_t queue) const noexcept {
  const std::size_t bytes = std::size_t{sizes_.buckets6} * sizeof(lb_flow_bucket6);
  return flows6_.memory().subspan(queue * bytes, bytes);
}

Status FastPath::set_device(PortIndex port, int ifindex) {
  const __u32 key = raw(port);
  const auto value = static_cast<__u32>(ifindex);
  if (bpf_map_update_elem(devs_.fd(), &key, &value, BPF_ANY) == 0) return {};
  return fail_errno(errno, fmt::format("interface {} as a target of redirects", ifindex));
}

/// A counter of one service or real server, over all CPUs.
template <class T>
std::uint64_t FastPath::sum_of(const BpfMap& map, std::uint32_t slots, std::uint32_t slot,
                               __u64 T::* member) const {
  const auto* values = map.values<T>();
  std::uint64_t total = 0;
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    total += __atomic_load_n(&(values[std::size_t{cpu} * slots + slot].*member), __ATOMIC_RELAXED);
  }
  return total;
}

void FastPath::take_sums() {
  for (std::uint32_t slot = 0; slot < sizes_.rs_max; ++slot) {
    auto of = [&](__u64 lb_rs_count::* member) {
      return sum_of(rs_counts_, sizes_.rs_max, slot, member);
    };
    sums_.take(slot, {.packets = of(&lb_rs_count::packets),
                      .bytes = of(&lb_rs_count::bytes),
                      .new_flows = of(&lb_rs_count::new_flows)});
  }
}

void FastPath::read_counters(Counters& counters) {
  take_sums();
  for (std::uint32_t slot = 0; slot < sizes_.rs_max; ++slot) {
    sums_.rs(slot).store(counters.rs[slot]);
  }
  for (std::uint32_t slot = 0; slot < sizes_.services_max; ++slot) {
    auto of = [&](__u64 lb_service_count::* member) {
      return sum_of(service_counts_, sizes_.services_max, slot, member);
    };
    ServiceCounters& to = counters.services[slot];
    sums_.service(slot).store(to);
    to.unknown_flows.set(of(&lb_service_count::unknown_flows));
    to.drops.set(of(&lb_service_count::drops));
    to.unprotected.set(of(&lb_service_count::unprotected));
    to.unremembered.set(of(&lb_service_count::unremembered));
  }
}

}  // namespace lb
