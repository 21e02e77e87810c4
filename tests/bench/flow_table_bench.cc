// SPDX-License-Identifier: Apache-2.0
// FlowTable against boost::unordered_flat_map in one run: lookups that hit and miss, at 1, 10 k and
// 1 M flows, one by one and in prefetched batches of 64 as the pipeline does; churn at flows_max.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/table/flow_table.h"

namespace lb {
namespace {

constexpr lb_hash_key kSecret{0x0123456789abcdef, 0xfedcba9876543210};
constexpr std::size_t kBatch = 64;

template <class Key>
Key key_of(std::uint32_t n) {
  Key key{};
  key.client_port = Be16::from_host(static_cast<std::uint16_t>(1024 + n % 60000));
  key.vip_port = Be16::from_host(443);
  key.proto = 6;
  if constexpr (sizeof(Key) == sizeof(FlowKey4)) {
    key.client = Be32::from_host(0x0a000000 + n);
  } else {
    key.client[1] = n;
  }
  return key;
}

template <class Key>
struct Hasher {
  using is_avalanching = void;
  std::size_t operator()(const Key& key) const noexcept { return flow_hash(key, kSecret); }
};

constexpr auto kNeverExpired = [](const FlowData&) { return false; };

/// Keys to look up: of `flows` stored ones for a hit, of as many others for a miss, at random.
template <class Key>
std::vector<Key> queries(std::uint32_t flows, bool hit) {
  std::mt19937 random(1);
  std::vector<Key> keys(std::max<std::size_t>(std::size_t{4} * flows, 2 * kBatch));
  for (Key& key : keys) key = key_of<Key>(random() % flows + (hit ? 0 : flows));
  return keys;
}

template <class Key>
FlowTable<Key> filled_table(std::uint32_t flows) {
  auto table = std::move(*FlowTable<Key>::create(std::max(flows, 1U << 20)));
  for (std::uint32_t n = 0; n < flows; ++n) {
    const Key key = key_of<Key>(n);
    table.insert(key, flow_hash(key, kSecret), {.rs = RsId{n + 1}}, kNeverExpired);
  }
  return table;
}

template <class Key>
using FlatMap = boost::unordered_flat_map<Key, FlowData, Hasher<Key>>;

template <class Key>
FlatMap<Key> filled_map(std::uint32_t flows) {
  FlatMap<Key> map;
  map.reserve(std::max(flows, 1U << 20));
  for (std::uint32_t n = 0; n < flows; ++n) map.emplace(key_of<Key>(n), FlowData{});
  return map;
}

template <class Key>
void flow_table_find(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto table = filled_table<Key>(flows);
  const auto keys = queries<Key>(flows, state.range(1) != 0);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.find(keys[at], flow_hash(keys[at], kSecret)));
    if (++at == keys.size()) at = 0;
  }
}

template <class Key>
void flat_map_find(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto map = filled_map<Key>(flows);
  const auto keys = queries<Key>(flows, state.range(1) != 0);
  std::size_t at = 0;
  for (auto _ : state) {
    auto found = map.find(keys[at]);
    benchmark::DoNotOptimize(found);
    if (++at == keys.size()) at = 0;
  }
}

/// As the pipeline: hash and prefetch all, then look up and touch all. Time is per packet.
template <class Key>
void flow_table_batch(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto table = filled_table<Key>(flows);
  const auto keys = queries<Key>(flows, state.range(1) != 0);
  std::uint64_t hashes[kBatch];
  std::size_t at = 0;
  while (state.KeepRunningBatch(kBatch)) {
    const Key* batch = &keys[at];
    for (std::size_t i = 0; i < kBatch; ++i) {
      hashes[i] = flow_hash(batch[i], kSecret);
      table.prefetch(hashes[i]);
    }
    for (std::uint64_t hash : hashes) table.prefetch_entry(hash);
    for (std::size_t i = 0; i < kBatch; ++i) {
      auto* entry = table.find(batch[i], hashes[i]);
      if (entry == nullptr) continue;
      FlowData data = table.data(*entry);
      data.last_seen = static_cast<TickMs>(at);
      table.update(*entry, data);
    }
    at = at + 2 * kBatch > keys.size() ? 0 : at + kBatch;
  }
}

/// The same work on the map, which offers no prefetch.
template <class Key>
void flat_map_batch(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto map = filled_map<Key>(flows);
  const auto keys = queries<Key>(flows, state.range(1) != 0);
  std::size_t at = 0;
  while (state.KeepRunningBatch(kBatch)) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      auto found = map.find(keys[at + i]);
      if (found != map.end()) found->second.last_seen = static_cast<TickMs>(at);
    }
    at = at + 2 * kBatch > keys.size() ? 0 : at + kBatch;
  }
}

/// At flows_max: one flow goes at random, another comes.
void flow_table_churn(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto table = std::move(*FlowTable<FlowKey4>::create(flows));
  std::vector<std::uint32_t> living(flows);
  std::mt19937 random(1);
  std::uint32_t next = 0;
  std::uint64_t evicted = 0, inserts = 0;
  auto insert = [&] {
    const auto key = key_of<FlowKey4>(next);
    auto inserted = table.insert(key, flow_hash(key, kSecret), {.last_seen = next}, kNeverExpired);
    evicted += inserted.outcome == InsertOutcome::EvictedAlive;
    ++inserts;
    return next++;
  };
  for (auto& n : living) n = insert();
  for (auto _ : state) {
    auto& victim = living[random() % flows];
    const auto key = key_of<FlowKey4>(victim);
    if (auto* entry = table.find(key, flow_hash(key, kSecret))) table.erase(*entry);
    victim = insert();
  }
  state.counters["evicted_alive_per_10k"] =
      static_cast<double>(evicted) * 1e4 / static_cast<double>(inserts);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "hit"});
  for (int flows : {1, 10'000, 1'000'000}) {
    for (int hit : {1, 0}) bench->Args({flows, hit});
  }
}

BENCHMARK(flow_table_find<FlowKey4>)->Apply(sizes);
BENCHMARK(flat_map_find<FlowKey4>)->Apply(sizes);
BENCHMARK(flow_table_batch<FlowKey4>)->Apply(sizes);
BENCHMARK(flat_map_batch<FlowKey4>)->Apply(sizes);
BENCHMARK(flow_table_batch<FlowKey6>)->Apply(sizes);
BENCHMARK(flat_map_batch<FlowKey6>)->Apply(sizes);
BENCHMARK(flow_table_churn)->ArgName("flows")->Arg(10'000)->Arg(1'000'000);

}  // namespace
}  // namespace lb

BENCHMARK_MAIN();
