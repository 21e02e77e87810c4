// SPDX-License-Identifier: Apache-2.0
// The batch loop allocates nothing: Worker with the real pipeline and tables between rings in
// memory, new flows and generations included, while every operator new is counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "dataplane/worker.h"
#include "tests/support/memory_rings.h"

namespace {
std::atomic<std::uint64_t> allocations{0};
}

// NOLINTBEGIN(clang-analyzer-cplusplus.NewDelete,clang-analyzer-unix.Malloc): new and delete
// themselves, by malloc and free.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(clang-analyzer-cplusplus.NewDelete,clang-analyzer-unix.Malloc)

namespace lb {
namespace {

using test::MemoryRings;

std::unique_ptr<ServiceTable> make_table() {
  ServiceTableSpec spec;
  spec.flow_key = {1, 2};
  spec.ports.push_back({test::mac("02:00:00:00:00:aa"), 1500, true});
  RealServer rs;
  rs.id = make_rs_id(0, 1);
  rs.mac = test::mac("02:00:00:00:00:54");
  rs.has_mac = rs.up = true;
  rs.weight = 1;
  rs.address = test::ip("192.0.2.54");
  spec.real_servers = {rs};
  Service service;
  service.id = make_service_id(0, 1);
  service.rs_count = 1;
  service.address = *ServiceAddr::parse("192.0.2.10:53/udp");
  spec.services = {service};
  spec.vips = {{.address = service.address.vip}};
  auto table = ServiceTable::build(std::move(spec));
  if (!table) return nullptr;
  return std::move(*table);
}

TEST(Worker, BatchLoopAllocatesNothing) {
  auto query = test::PacketBuilder("10.0.0.1", "192.0.2.10").udp(4711, 53).payload(18).build();
  MemoryRings rings(query, MemoryRings::kClientOffset, 100'000);
  Counters counters(16, 16);
  ResolveRequests resolve(16);
  PipelineOptions options;
  options.flows_max = 16'384;  // fewer than flows: evictions too
  options.flows_max_v6 = 1024;
  auto path = Pipeline::create(WorkerIndex{0}, options, counters, resolve);
  ASSERT_TRUE(path) << path.error().message;
  PipelinePeers peers{.pipelines = {path->get()}, .counters = {&counters}};
  (*path)->set_peers(peers);
  FramePool pool(MemoryRings::kFrames, MemoryRings::kFrameBytes);
  Snapshots<ServiceTable> tables(1);
  PortLinks links{};
  Worker<MemoryRings> worker({.index = WorkerIndex{0},
                              .batch = 64,
                              .ends = rings,
                              .pool = pool,
                              .memory = rings.memory(),
                              .path = **path,
                              .tables = tables,
                              .counters = counters,
                              .links = links});
  for (TickMs now = 1; now < 2000; ++now) {
    if (now % 500 == 1) {
      auto table = make_table();
      ASSERT_TRUE(table);
      tables.publish(std::move(table));
    }
    std::uint64_t before = allocations.load();
    worker.step(now);
    ASSERT_EQ(allocations.load(), before) << "in step " << now;
  }
  EXPECT_GT(allocations.load(), 0U);  // those of make_table(): it does count
  EXPECT_GT(counters.worker.tx_packets.get(), 100'000U);
  EXPECT_GT(counters.worker.flows_new.get(), 16'384U);
  EXPECT_TRUE(pool.recounted());
}

}  // namespace
}  // namespace lb
