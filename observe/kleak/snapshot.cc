// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "dataplane/base/bpf_map.h"
#include "dataplane/base/bpf_system.h"

namespace lb::observe {
namespace {

std::string name_of(const char* text, std::size_t room) { return {text, strnlen(text, room)}; }

Status read_groups(const BpfObject& object, KernelLeakSnapshot& to) {
  LB_TRY_ASSIGN(const int fd, object.map_fd("kmem_groups"));
  LB_TRY_ASSIGN(const BpfMap map, (BpfMap::of<kmem_group_key, kmem_group>(fd)));
  return map.scan_as<kmem_group_key, kmem_group>(
      [&to](const kmem_group_key& key, const kmem_group& sums) {
        to.groups.push_back({key, sums});
      });
}

Status read_blocks(const BpfObject& object, KernelLeakSnapshot& to) {
  LB_TRY_ASSIGN(const int fd, object.map_fd("kmem_blocks"));
  LB_TRY_ASSIGN(const BpfMap map, (BpfMap::of<std::uint64_t, kmem_block>(fd)));
  return map.scan_as<std::uint64_t, kmem_block>(
      [&to](std::uint64_t address, const kmem_block& block) {
        to.blocks.push_back({address, block});
      });
}

Status read_caches(const BpfObject& object, KernelLeakSnapshot& to) {
  LB_TRY_ASSIGN(const int fd, object.map_fd("kmem_caches"));
  LB_TRY_ASSIGN(const BpfMap map, (BpfMap::of<std::uint64_t, kmem_cache_state>(fd)));
  return map.scan_as<std::uint64_t, kmem_cache_state>(
      [&to](std::uint64_t key, const kmem_cache_state& state) {
        KernelLeakSnapshot::Cache cache;
        cache.name = name_of(state.name, sizeof state.name);
        if (cache.name.empty()) cache.name = unnamed_cache(key);
        for (const auto& slot : state.slots) {
          cache.allocs += slot.allocs;
          cache.frees += slot.frees;
          cache.reused += slot.reused;
        }
        to.caches[key] = cache;
      });
}

/// Adds up a per-CPU array's one entry, a struct of 64-bit counters.
template <class Counters>
Status sum_cpus(const BpfObject& object, const char* name, Counters& sum) {
  using Words = std::array<std::uint64_t, sizeof(Counters) / sizeof(std::uint64_t)>;
  LB_TRY_ASSIGN(const int fd, object.map_fd(name));
  LB_TRY_ASSIGN(const BpfMap map, (BpfMap::of<std::uint32_t, Counters>(fd)));
  LB_TRY_ASSIGN(const auto cpus, map.template per_cpu<Words>(std::uint32_t{0}));
  Words total{};
  for (const Words& words : cpus) {
    for (std::size_t i = 0; i < words.size(); ++i) total[i] += words[i];
  }
  std::memcpy(&sum, total.data(), sizeof sum);
  return {};
}

std::uint64_t recursion_misses(const BpfObject& object) {
  std::uint64_t misses = 0;
  for (const BpfHeld& held : object.held()) {
    if (held.is_map) continue;
    if (const auto info = bpf_program_info(held.id)) misses += info->recursion_misses;
  }
  return misses;
}

std::optional<Slabinfo> slabinfo_now() {
  auto slabinfo = read_slabinfo();
  if (!slabinfo) return std::nullopt;
  return std::move(*slabinfo);
}

}  // namespace

std::string unnamed_cache(std::uint64_t cache) {
  switch (cache) {
    case KMEM_CACHE_PERCPU:
      return "percpu";
    case KMEM_CACHE_VMALLOC:
      return "vmalloc";
    case KMEM_CACHE_LARGE:
      return "kmalloc-large";
    default:
      break;
  }
  const std::uint64_t bytes = cache & ((1ULL << KMEM_BUCKET_SHIFT) - 1);
  const std::string size =
      bytes >= 1024 && bytes % 1024 == 0 ? fmt::format("{}k", bytes / 1024) : fmt::to_string(bytes);
  switch (cache >> KMEM_BUCKET_SHIFT) {
    case KMEM_BUCKET_NORMAL:
      return "kmalloc-" + size;
    case KMEM_BUCKET_DMA:
      return "dma-kmalloc-" + size;
    case KMEM_BUCKET_RECLAIMABLE:
      return "kmalloc-rcl-" + size;
    case KMEM_BUCKET_ACCOUNTED:
      return "kmalloc-cg-" + size;
    default:
      return "";
  }
}

Result<KernelLeakSnapshot> read_snapshot(const BpfObject& object) {
  KernelLeakSnapshot snapshot;
  snapshot.slabinfo_before = slabinfo_now();
  LB_TRY(read_caches(object, snapshot));
  snapshot.slabinfo_after = slabinfo_now();
  LB_TRY(read_groups(object, snapshot));
  LB_TRY(read_blocks(object, snapshot));
  LB_TRY(sum_cpus(object, "observe_counts", snapshot.losses));
  LB_TRY(sum_cpus(object, "kmem_own", snapshot.own));
  const std::uint64_t missed = recursion_misses(object);
  const kmem_own& own = snapshot.own;
  snapshot.missed_own = std::min<std::uint64_t>(missed, own.allocs - std::min(own.allocs, own.met));
  snapshot.missed = missed - snapshot.missed_own;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  snapshot.now_ns = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                    static_cast<std::uint64_t>(now.tv_nsec);
  return snapshot;
}

}  // namespace lb::observe
