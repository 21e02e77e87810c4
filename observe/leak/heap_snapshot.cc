// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/heap_snapshot.h"

#include <array>
#include <cstring>

#include "dataplane/base/bpf_map.h"
#include "dataplane/base/clock.h"

namespace lb::observe {
namespace {

/// The sum over the CPUs of a struct of counters.
template <class T>
Result<T> summed(const BpfObject& object, const char* name) {
  LB_TRY_ASSIGN(const int fd, object.map_fd(name));
  LB_TRY_ASSIGN(const auto map, BpfMap::open(fd, sizeof(std::uint32_t), sizeof(T)));
  LB_TRY_ASSIGN(const auto values, map.per_cpu<T>(std::uint32_t{0}));
  std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)> total{};
  for (const auto& value : values) {
    std::array<std::uint64_t, total.size()> counters{};
    std::memcpy(counters.data(), &value, sizeof counters);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += counters[i];
  }
  T sum{};
  std::memcpy(&sum, total.data(), sizeof sum);
  return sum;
}

template <class Key, class Value, class Each>
Status scan_map(const BpfObject& object, const char* name, Each each) {
  LB_TRY_ASSIGN(const int fd, object.map_fd(name));
  LB_TRY_ASSIGN(const auto map, BpfMap::open(fd, sizeof(Key), sizeof(Value)));
  return map.scan_as<Key, Value>(each);
}

}  // namespace

Result<HeapSnapshot> read_heap_snapshot(const BpfObject& object) {
  HeapSnapshot snapshot;
  LB_TRY((scan_map<observe_heap_key, observe_heap_block>(
      object, "heap_blocks", [&snapshot](const auto& key, const auto& block) {
        snapshot.blocks.push_back({key, block});
      })));
  snapshot.now_ns = monotonic_ns();
  LB_TRY((scan_map<observe_heap_stat_key, observe_heap_stat>(
      object, "heap_stats",
      [&snapshot](const auto& key, const auto& stat) { snapshot.stats.push_back({key, stat}); })));
  LB_TRY_ASSIGN(snapshot.losses, summed<observe_losses>(object, "observe_counts"));
  LB_TRY_ASSIGN(snapshot.totals, summed<observe_heap_totals>(object, "heap_totals"));
  return snapshot;
}

}  // namespace lb::observe
