// SPDX-License-Identifier: Apache-2.0
// What it takes to build the next table of a service: read the plan of the last one, advance it,
// write it with its members. Of 100 real servers one goes. The Maglev array and the memory of the
// table (a map's in the real engine) are not part of it.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/table/slot_plan.h"

namespace lb {
namespace {

std::vector<std::uint16_t> owners_of(std::uint32_t slots, std::uint32_t members) {
  std::mt19937 random(1);
  std::vector<std::uint16_t> owners(slots);
  for (auto& owner : owners) owner = static_cast<std::uint16_t>(random() % members);
  return owners;
}

void fill_members(TableObject& table, std::uint32_t members) {
  for (std::uint32_t i = 0; i < members; ++i) table.members()[i].place = i + 1;
  table.head().members = members;
}

void next_table(benchmark::State& state) {
  const auto slots = static_cast<std::uint32_t>(state.range(0));
  const auto members = static_cast<std::uint32_t>(state.range(1));
  const std::vector<std::uint16_t> before = owners_of(slots, members);
  std::vector<std::uint16_t> after = before;
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (after[i] == 0) after[i] = before[(i + 1) % slots];
  }
  const MemberBits alive(members, true);
  HeapTableMemory memory;
  const auto last = *memory.make(slots, members);
  fill_members(*last, members);
  SlotPlan(before).write(*last);
  const auto next = *memory.make(slots, members);
  for (auto _ : state) {
    auto plan = SlotPlan::read(*last);
    LB_ASSERT(plan.has_value());
    plan->advance({.owners = after, .alive = alive, .now_s = 100, .window_s = 900});
    fill_members(*next, members);
    plan->write(*next);
    benchmark::ClobberMemory();
  }
}

BENCHMARK(next_table)
    ->ArgNames({"slots", "members"})
    ->Args({1021, 64})
    ->Args({65537, 100})
    ->Args({1048573, 1000})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace lb

BENCHMARK_MAIN();
