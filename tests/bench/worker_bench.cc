// SPDX-License-Identifier: Apache-2.0
// What a packet costs in user space: Worker::step() with the real pipeline and tables between rings
// in memory. The "kernel" writes each frame's first 64 (IPv6: 80) bytes before it is received,
// which is part of the figure; the case without tables (mac_swap) tells how much of it is the
// rings' and the worker's own.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "dataplane/worker.h"
#include "tests/support/memory_rings.h"
#include "tests/support/packet_builder.h"

namespace lb {
namespace {

using test::MemoryRings;

/// The least a path can do: swap the MAC addresses, send back.
struct MacSwap {
  void process(std::span<Packet> packets, TickMs, const ServiceTable&, BatchOut& out) noexcept {
    for (Packet& packet : packets) {
      std::array<std::uint8_t, 6> mac{};
      std::memcpy(mac.data(), packet.data, 6);
      std::memcpy(packet.data, packet.data + 6, 6);
      std::memcpy(packet.data + 6, mac.data(), 6);
      out.tx[out.tx_count++] = packet;
    }
  }
  bool maintain(TickMs, const ServiceTable&, BatchOut&) noexcept { return false; }
  [[nodiscard]] std::uint32_t held() const noexcept { return 0; }
  void release_held(BatchOut&) noexcept {}
};

std::unique_ptr<ServiceTable> make_table() {
  ServiceTableSpec spec;
  spec.flow_key = {0x0123456789abcdef, 0xfedcba9876543210};
  spec.ports.push_back({test::mac("02:00:00:00:00:aa"), 1500, true});
  for (std::uint32_t i = 0; i < 8; ++i) {
    RealServer rs;
    rs.id = make_rs_id(i, 1);
    rs.mac = test::mac("02:00:00:00:01:00");
    rs.mac.bytes[5] = static_cast<std::uint8_t>(i);
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    rs.address = test::ip((i < 4 ? "192.0.2.5" : "2001:db8::5") + std::to_string(i));
    spec.real_servers.push_back(rs);
  }
  const std::array addresses = {"192.0.2.10:53/udp", "[2001:db8::10]:53/udp"};
  for (std::uint32_t i = 0; i < 2; ++i) {
    Service service;
    service.id = make_service_id(i, 1);
    service.scheduler = Scheduler::Rr;
    service.rs_first = 4 * i;
    service.rs_count = 4;
    service.address = *ServiceAddr::parse(addresses[i]);
    spec.vips.push_back({.address = service.address.vip});
    spec.services.push_back(std::move(service));
  }
  auto table = ServiceTable::build(std::move(spec));
  if (!table) std::fprintf(stderr, "%s\n", table.error().message.c_str());
  LB_ASSERT(table.has_value());
  return std::move(*table);
}

test::Bytes query(bool v6) {
  test::PacketBuilder builder(v6 ? "2001:db8:1::" : "10.0.0.0", v6 ? "2001:db8::10" : "192.0.2.10");
  return builder.ethernet(test::mac("02:00:00:00:00:aa"), test::mac("02:00:00:00:00:01"))
      .udp(4711, 53)
      .payload(18)
      .build();
}

template <class Path>
void step_worker(benchmark::State& state, MemoryRings& rings, Path& path, Counters& counters) {
  FramePool pool(MemoryRings::kFrames, MemoryRings::kFrameBytes);
  Snapshots<ServiceTable> tables(1);
  tables.publish(make_table());
  PortLinks links{};
  Worker<MemoryRings, Path> worker({.index = WorkerIndex{0},
                                    .batch = 64,
                                    .ends = rings,
                                    .pool = pool,
                                    .memory = rings.memory(),
                                    .path = path,
                                    .tables = tables,
                                    .counters = counters,
                                    .links = links});
  TickMs now = tick_ms_now();
  for (int i = 0; i < 100'000; ++i) worker.step(now);  // every flow has its entry
  for (auto _ : state) worker.step(tick_ms_now());
  std::uint64_t dropped = 0;
  for (const auto& reason : counters.worker.drops) dropped += reason.get();
  if (dropped != 0) state.SkipWithError("packets were dropped");
  state.SetItemsProcessed(state.iterations() * 64);
}

void BM_MacSwap(benchmark::State& state) {
  Counters counters(16, 16);
  MacSwap path;
  MemoryRings rings(query(false), MemoryRings::kClientOffset, 1);
  step_worker(state, rings, path, counters);
}
BENCHMARK(BM_MacSwap);

void run_pipeline(benchmark::State& state, bool v6) {
  Counters counters(16, 16);
  ResolveRequests resolve(16);
  PipelineOptions options;
  options.flows_max = options.flows_max_v6 = 1U << 21;
  auto path = Pipeline::create(WorkerIndex{0}, options, counters, resolve);
  if (!path) return state.SkipWithError(path.error().message.c_str());
  PipelinePeers peers{.pipelines = {path->get()}, .counters = {&counters}};
  (*path)->set_peers(peers);
  auto flows = static_cast<std::uint32_t>(state.range(0));
  MemoryRings rings(query(v6), v6 ? MemoryRings::kClientOffset6 : MemoryRings::kClientOffset,
                    flows);
  step_worker(state, rings, **path, counters);
}

void BM_PipelineV4(benchmark::State& state) { run_pipeline(state, false); }
void BM_PipelineV6(benchmark::State& state) { run_pipeline(state, true); }
BENCHMARK(BM_PipelineV4)->Arg(1)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(BM_PipelineV6)->Arg(1)->Arg(10'000)->Arg(1'000'000);

}  // namespace
}  // namespace lb

BENCHMARK_MAIN();
