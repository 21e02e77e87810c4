// SPDX-License-Identifier: Apache-2.0
// EngineThreads: workers on their threads over the fake kernel, control publishing, reclaiming,
// flipping links and reading beside them. For TSan; needs no root.
#include "dataplane/io/worker_thread.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <memory>
#include <vector>

#include "dataplane/worker.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_kernel.h"

namespace lb {
namespace {

constexpr auto kLimit = std::chrono::minutes(2);  // TSan on a busy machine

struct Table {
  explicit Table(std::uint64_t number) : value(number) {}
  ~Table() { value = 0; }
  Generation generation = Generation::None;
  std::uint64_t value;
};

/// Sends everything out of the next port; looks at the table so that a freed one would show.
struct PassPath {
  std::uint32_t ports = 1;
  std::uint64_t last = 0;
  void process(std::span<Packet> packets, TickMs, const Table& table, BatchOut& out) noexcept {
    LB_ASSERT(table.value >= last);
    last = table.value;
    for (const Packet& packet : packets) {
      Packet& sent = out.tx[out.tx_count++];
      sent = packet;
      sent.port = static_cast<PortIndex>((raw(packet.port) + 1) % ports);
    }
  }
  bool maintain(TickMs, const Table&, BatchOut&) noexcept { return false; }
  [[nodiscard]] std::uint32_t held() const noexcept { return 0; }
  void release_held(BatchOut&) noexcept {}
};

/// A fake kernel that makes its own traffic while the worker looks for some: `left` packets.
class BusyKernel : public test::FakeKernel {
 public:
  using FakeKernel::FakeKernel;
  std::uint64_t left = 0;
  template <class F>
  std::uint32_t receive(std::uint32_t port, std::uint32_t n, F&& take) noexcept {
    std::array<std::uint8_t, 64> packet{};
    for (std::uint32_t i = 0; i < n && left > 0; ++i) {
      finish(port, 2);
      if (arrive(port, packet.data(), packet.size())) --left;
    }
    return FakeKernel::receive(port, n, take);
  }
};

struct Unit {
  Unit(std::uint32_t index, Snapshots<Table>& tables, const PortLinks& links, std::uint64_t packets)
      : kernel(2, 512, 2048), pool(512, 2048), counters(1, 1) {
    kernel.left = packets;
    path.ports = 2;
    worker = std::make_unique<Worker<BusyKernel, PassPath, Table>>(
        WorkerSetup<BusyKernel, PassPath, Table>{.index = static_cast<WorkerIndex>(index),
                                                 .batch = 16,
                                                 .ends = kernel,
                                                 .pool = pool,
                                                 .memory = kernel.memory(),
                                                 .path = path,
                                                 .tables = tables,
                                                 .counters = counters,
                                                 .links = links});
    auto idle = make_idle({});
    WorkerThreadOptions options{.number = index, .cpu = -1, .spin_us = 20};
    thread = std::make_unique<WorkerThread>(options, std::move(*idle), counters);
  }
  BusyKernel kernel;
  FramePool pool;
  Counters counters;
  PassPath path;
  std::unique_ptr<Worker<BusyKernel, PassPath, Table>> worker;
  std::unique_ptr<WorkerThread> thread;
};

TEST(EngineThreads, PublishReclaimAndLinksBesideRunningWorkers) {
  constexpr std::uint64_t kPackets = 20'000;
  Snapshots<Table> tables(2);
  PortLinks links{};
  std::vector<std::unique_ptr<Unit>> units;
  units.reserve(2);
  for (std::uint32_t i = 0; i < 2; ++i) {
    units.push_back(std::make_unique<Unit>(i, tables, links, kPackets));
  }
  std::uint64_t value = 1;
  tables.publish(std::make_unique<Table>(value++));
  for (auto& unit : units) ASSERT_TRUE(unit->thread->start(*unit->worker));
  auto done = [&] {
    std::uint64_t sum = 0;
    for (auto& unit : units) sum += unit->counters.worker.rx_packets.get();
    return sum == 2 * kPackets;
  };
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (!done() && std::chrono::steady_clock::now() < end) {
    tables.publish(std::make_unique<Table>(value++));
    links[value % 2] = value % 4 < 2 ? LinkState::Down : LinkState::Up;
    for (auto& unit : units) {
      unit->thread->wake();
      (void)unit->worker->gauges().frames_free.load(std::memory_order_relaxed);
    }
    tables.reclaim();
  }
  ASSERT_TRUE(done());
  Generation last = tables.publish(std::make_unique<Table>(value));
  for (auto& unit : units) unit->thread->wake();
  ASSERT_TRUE(test::eventually([&] { return tables.reclaim() == 1; }, kLimit));
  EXPECT_EQ(tables.adopted(0), last);
  for (auto& unit : units) unit->thread->stop();
  for (auto& unit : units) {
    const auto& counters = unit->counters.worker;
    std::uint64_t dropped = 0;
    for (const auto& reason : counters.drops) dropped += reason.get();
    EXPECT_EQ(counters.tx_packets.get() + dropped, kPackets);
    EXPECT_TRUE(unit->pool.recounted());
  }
}

TEST(EngineThreads, StopEndsASleepingWorkerAndMayBeRepeated) {
  Snapshots<Table> tables(1);
  PortLinks links{};
  Unit unit(0, tables, links, 0);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(unit.thread->start(*unit.worker));
    unit.thread->stop();
    unit.thread->stop();
  }
}

TEST(EngineThreads, IdleWorkerSleepsAndShowsThatItLives) {
  Snapshots<Table> tables(1);
  PortLinks links{};
  Unit unit(0, tables, links, 0);
  ASSERT_TRUE(unit.thread->start(*unit.worker));
  TickMs started = tick_ms_now();
  ASSERT_TRUE(test::eventually(
      [&] { return ms_since(unit.worker->gauges().heartbeat.load(), started) > 0; }, kLimit));
  EXPECT_GT(unit.counters.worker.sleeps.get(), 0U);
}

TEST(EngineThreads, CpuThatIsNotThereIsAnError) {
  Snapshots<Table> tables(1);
  PortLinks links{};
  Unit unit(0, tables, links, 0);
  auto idle = make_idle({});
  WorkerThread thread({.number = 3, .cpu = 100'000, .spin_us = 0}, std::move(*idle), unit.counters);
  auto started = thread.start(*unit.worker);
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("CPU 100000"), std::string::npos);
}

TEST(EngineThreads, SpinsOnlyWhenACoreIsToSpare) {
  EXPECT_EQ(spin_us_for(50, 1, 2, {}), 50U);
  EXPECT_EQ(spin_us_for(50, 2, 2, {}), 0U);
  EXPECT_EQ(spin_us_for(50, 1, 1, {}), 0U);
  EXPECT_EQ(spin_us_for(50, 2, 4, {0, 1}), 50U);
  EXPECT_EQ(spin_us_for(50, 2, 4, {1, 1}), 0U);
}

TEST(RunOnCpu, RunsThereAndReturnsTheStatus) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    int seen = -1;
    EXPECT_TRUE(run_on_cpu(cpu, [&]() -> Status {
      seen = sched_getcpu();
      return {};
    }));
    EXPECT_EQ(seen, cpu);
  }
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after)) << "the caller stays where it was";
  EXPECT_EQ(run_on_cpu(-1, [] { return Status(fail(ENOMEM, "none")); }).error().message, "none");
}

TEST(RunOnCpu, RefusesACpuThatIsNotThere) {
  bool ran = false;
  auto refused = run_on_cpu(4000, [&]() -> Status {
    ran = true;
    return {};
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "CPU 4000 is not there, or not for this process");
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace lb
