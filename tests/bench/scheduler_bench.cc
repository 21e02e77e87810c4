// SPDX-License-Identifier: Apache-2.0
// Each scheduler's pick over 3 and 100 real servers, and what a Maglev array costs to build.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/table/maglev.h"
#include "dataplane/table/scheduler.h"
#include "tests/support/slot_table.h"

namespace lb {
namespace {

std::vector<MaglevBackend> backends(std::size_t count, bool weighted) {
  std::vector<MaglevBackend> made(count);
  for (std::size_t i = 0; i < count; ++i) {
    made[i] = {lb_mix64(2 * i + 1), lb_mix64(2 * i + 2),
               weighted ? static_cast<std::uint32_t>(1 + i % 10) : 1};
  }
  return made;
}

void maglev(benchmark::State& state) {
  const auto of = backends(static_cast<std::size_t>(state.range(1)), state.range(2) != 0);
  const auto slots = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    auto table = build_maglev(of, slots);
    benchmark::DoNotOptimize(table);
  }
}

std::unique_ptr<ServiceTable> table_of(Scheduler scheduler, std::uint32_t servers) {
  ServiceTableSpec spec;
  spec.ports.emplace_back();
  Service service;
  service.address = *ServiceAddr::parse("192.0.2.1:80/tcp");
  service.id = make_service_id(0, 1);
  service.scheduler = scheduler;
  service.rs_count = servers;
  service.hash_key = 42;
  for (std::uint32_t i = 0; i < servers; ++i) {
    RealServer rs;
    rs.id = make_rs_id(i, 1);
    rs.address = IpAddr::v4(Be32::from_host(0x0a000001 + i));
    rs.weight = 1 + i % 10;
    rs.up = true;
    spec.real_servers.push_back(rs);
  }
  spec.vips.push_back({.address = service.address.vip});
  service.table = test::SlotTable(spec, service, kMaglevSlotsDefault).maglev().take();
  test::name_members(spec, service);
  spec.services.push_back(service);
  auto table = ServiceTable::build(std::move(spec));
  LB_ASSERT(table.has_value());
  return std::move(*table);
}

void scheduler_pick(benchmark::State& state) {
  const auto scheduler = static_cast<Scheduler>(state.range(0));
  const auto servers = static_cast<std::uint32_t>(state.range(1));
  auto table = table_of(scheduler, servers);
  Counters worker(4, 256);
  for (std::uint32_t i = 0; i < servers; ++i) worker.rs[i].active.add(1 + i * 7 % 5);
  const std::vector<const Counters*> workers{&worker};
  const LoadView load(workers);
  SchedulerState cursor;
  std::uint64_t random = 88172645463325252;
  std::uint64_t hash = 1;
  for (auto _ : state) {
    hash = lb_mix64(hash + 1);
    benchmark::DoNotOptimize(pick({.table = *table,
                                   .service = table->services()[0],
                                   .flow_hash = hash,
                                   .client_hash = hash,
                                   .vip_hash = hash,
                                   .load = load,
                                   .state = cursor,
                                   .random = random}));
  }
  state.SetLabel(std::string(scheduler_name(scheduler)));
}

BENCHMARK(maglev)
    ->ArgNames({"slots", "backends", "weighted"})
    ->Args({65537, 3, 0})
    ->Args({65537, 100, 0})
    ->Args({65537, 100, 1})
    ->Args({65537, 1000, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(scheduler_pick)
    ->ArgNames({"scheduler", "servers"})
    ->ArgsProduct({benchmark::CreateDenseRange(0, 11, 1), {3, 100}});

}  // namespace
}  // namespace lb

BENCHMARK_MAIN();
