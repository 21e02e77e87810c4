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

namespace lb {
namespace {

class KernelTable final : public TableObject {
 public:
  KernelTable(BpfMap map, TableRoom room, std::uint32_t table_class) noexcept
      : TableObject(map.memory().data(), room, table_class), map_(std::move(map)) {}
  [[nodiscard]] int fd() const noexcept { return map_.fd(); }

 private:
  BpfMap map_;
};

constexpr std::array<const char*, LB_TABLE_CLASSES> kTableMaps{"tables0", "tables1", "tables2"};

BpfMapSpec mapped_array(const char* name, std::uint32_t value_bytes, std::uint32_t entries) {
  return {.name = name,
          .type = BPF_MAP_TYPE_ARRAY,
          .value_bytes = value_bytes,
          .entries = entries,
          .flags = BPF_F_MMAPABLE};
}

BpfMapSpec table_spec(std::uint32_t table_class) {
  return mapped_array("lb_table", static_cast<std::uint32_t>(kTableRooms[table_class].bytes()), 1);
}

/// An array of maps like `inner`.
Result<BpfMap> objects(const char* name, const BpfMapSpec& inner, std::uint32_t entries) {
  LB_TRY_ASSIGN(BpfMap pattern, BpfMap::create(inner));
  return BpfMap::create({.name = name,
                         .type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
                         .entries = entries,
                         .inner_fd = pattern.fd()});
}

}  // namespace

Result<std::unique_ptr<FastPath>> FastPath::create(const FastPathSizes& sizes) {
  std::unique_ptr<FastPath> path(new FastPath(sizes));
  path->cpus_ = static_cast<std::uint32_t>(std::max(1, libbpf_num_possible_cpus()));
  path->index_room_ = IndexRoom::for_services(sizes.services_max);
  path->installed_.resize(sizes.services_max);
  LB_TRY(path->make_maps());
  LB_TRY(path->make_objects());
  return path;
}

Status FastPath::make_maps() {
  LB_TRY_ASSIGN(devs_, BpfMap::create(
                           {.name = "devs", .type = BPF_MAP_TYPE_DEVMAP, .entries = LB_PORTS_MAX}));
  LB_TRY_ASSIGN(beats_, BpfMap::create(mapped_array("beats", sizeof(lb_beat), LB_QUEUES_MAX)));
  LB_TRY_ASSIGN(service_counts_,
                BpfMap::create(mapped_array("service_counts", sizeof(lb_service_count),
                                            cpus_ * sizes_.services_max)));
  LB_TRY_ASSIGN(rs_counts_, BpfMap::create(mapped_array("rs_counts", sizeof(lb_rs_count),
                                                        cpus_ * sizes_.rs_max)));
  // Values of a memory-mapped array lie 8 bytes apart at least.
  LB_TRY_ASSIGN(rs_members_,
                BpfMap::create(mapped_array("rs_members", sizeof(std::uint32_t), sizes_.rs_max)));
  LB_TRY_ASSIGN(flows4_, BpfMap::create(mapped_array("flows4", sizeof(lb_flow_bucket4),
                                                     sizes_.queues * sizes_.buckets4)));
  LB_TRY_ASSIGN(flows6_, BpfMap::create(mapped_array("flows6", sizeof(lb_flow_bucket6),
                                                     sizes_.queues * sizes_.buckets6)));
  return {};
}

Status FastPath::make_objects() {
  const auto index_bytes = static_cast<std::uint32_t>(index_room_.bytes());
  LB_TRY_ASSIGN(index_, objects("vip_index", mapped_array("lb_index", index_bytes, 1), 1));
  for (std::uint32_t c = 0; c < LB_TABLE_CLASSES; ++c) {
    LB_TRY_ASSIGN(tables_[c], objects(kTableMaps[c], table_spec(c), sizes_.services_max));
  }
  return {};
}

Result<std::shared_ptr<TableObject>> FastPath::make(std::uint32_t slots, std::uint32_t members) {
  const std::uint32_t table_class = table_class_for(slots, members);
  if (table_class == kTableClassNone) return HeapTableMemory().make(slots, members);
  LB_TRY_ASSIGN(BpfMap map, BpfMap::create(table_spec(table_class)));
  return std::make_shared<KernelTable>(std::move(map), kTableRooms[table_class], table_class);
}

void FastPath::give_to(BpfSpec& spec) const {
  for (const auto& [name, map] :
       {std::pair{"devs", &devs_}, std::pair{"beats", &beats_},
        std::pair{"service_counts", &service_counts_}, std::pair{"rs_counts", &rs_counts_},
        std::pair{"rs_members", &rs_members_}, std::pair{"flows4", &flows4_},
        std::pair{"flows6", &flows6_}, std::pair{"vip_index", &index_},
        std::pair{kTableMaps[0], &tables_[0]}, std::pair{kTableMaps[1], &tables_[1]},
        std::pair{kTableMaps[2], &tables_[2]}}) {
    spec.shared_maps.push_back({name, map->fd()});
  }
  spec.constant("index_mask", index_room_.slots - 1)
      .constant("range_mask", index_room_.ranges - 1)
      .constant("services_max", sizes_.services_max)
      .constant("rs_max", sizes_.rs_max)
      .constant("flow_buckets4", sizes_.buckets4)
      .constant("flow_buckets6", sizes_.buckets6)
      .constant("flow_hash_kind", static_cast<__u32>(sizes_.hash));
}

Status FastPath::install(const ServiceTable& table) {
  LB_ASSERT(table.flow_key().kind == sizes_.hash);
  name_members(table);
  std::vector<std::uint32_t> refs;
  LB_TRY(install_tables(table, refs));
  LB_TRY(install_index(table, refs));
  forget_tables(table);
  return {};
}

/// Where a member stands in its table is told before a table names it there; who reads it compares
/// ids. What it forwards from then on counts for its service.
void FastPath::name_members(const ServiceTable& table) {
  bool taken = false;
  for (const Service& service : table.services()) {
    if (!service.table) continue;
    const std::uint32_t members = service.table->head().members;
    for (std::uint32_t i = 0; i < members; ++i) {
      const std::uint32_t slot = service.table->member(i).id & (kRsLimit - 1);
      if (service.table->member(i).id == 0 || slot >= sizes_.rs_max) continue;
      auto* word = reinterpret_cast<std::uint32_t*>(rs_members_.memory().data() + 8 * slot);
      __atomic_store_n(word, i, __ATOMIC_RELEASE);
      if (sums_.belongs(slot, slot_of(service.id))) continue;
      if (!std::exchange(taken, true)) take_sums();
      sums_.assign(slot, slot_of(service.id));
    }
  }
}

Status FastPath::install_tables(const ServiceTable& table, std::vector<std::uint32_t>& refs) {
  struct Batch {
    std::vector<__u32> keys;
    std::vector<int> fds;
  };
  std::array<Batch, LB_TABLE_CLASSES> batches;
  std::vector<std::pair<std::uint32_t, Installed>> done;
  for (const Service& service : table.services()) {
    const std::uint32_t slot = slot_of(service.id);
    const auto* kernel = dynamic_cast<const KernelTable*>(service.table.get());
    if (kernel == nullptr) {
      refs.push_back(LB_TABLE_NONE);
      continue;
    }
    refs.push_back(kernel->table_class() << 24 | slot);
    if (installed_[slot].table == service.table) continue;
    batches[kernel->table_class()].keys.push_back(slot);
    batches[kernel->table_class()].fds.push_back(kernel->fd());
    done.emplace_back(slot, Installed{service.table, refs.back()});
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
  for (auto& [slot, now] : done) {
    Installed& before = installed_[slot];
    const bool moved = before.ref != now.ref && before.ref != LB_TABLE_NONE;
    if (moved) stale_.push_back(before.ref);
    before = std::move(now);
  }
  return {};
}

Status FastPath::install_index(const ServiceTable& table, std::span<const std::uint32_t> refs) {
  LB_TRY_ASSIGN(auto bytes, build_kernel_index(table, refs, index_room_));
  if (bytes == index_bytes_) return {};
  LB_TRY_ASSIGN(BpfMap inner, BpfMap::create(mapped_array(
                                  "lb_index", static_cast<std::uint32_t>(bytes.size()), 1)));
  std::memcpy(inner.memory().data(), bytes.data(), bytes.size());
  inner.values<lb_index_head>()->generation = ++generation_;
  __u32 zero = 0;
  int fd = inner.fd();
  if (bpf_map_update_elem(index_.fd(), &zero, &fd, BPF_ANY) != 0) {
    return fail_errno(errno, "vip_index: install the index");
  }
  index_bytes_ = std::move(bytes);
  return {};
}

/// Tables that the index does not name any more.
void FastPath::forget_tables(const ServiceTable& table) {
  std::vector<bool> used(installed_.size());
  for (const Service& service : table.services()) {
    if (service.table) used[slot_of(service.id)] = true;
  }
  for (std::uint32_t slot = 0; slot < installed_.size(); ++slot) {
    if (used[slot] || installed_[slot].ref == LB_TABLE_NONE) continue;
    stale_.push_back(installed_[slot].ref);
    installed_[slot] = {};
  }
  for (std::uint32_t ref : std::exchange(stale_, {})) {
    const __u32 key = ref & LB_TABLE_KEY_MASK;
    std::ignore = bpf_map_delete_elem(tables_[ref >> 24].fd(), &key);
  }
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
