// SPDX-License-Identifier: Apache-2.0
// Worker over the fake kernel: thousands of random schedules with faults. Whatever the kernel does:
// no frame is lost or in two places, no packet leaves twice, every step ends.
#include "dataplane/worker.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <span>

#include "tests/support/fake_kernel.h"

namespace lb {
namespace {

using test::FakeKernel;
using test::FakeRings;

struct FakeTable {
  Generation generation = Generation::None;
};

/// Sends, frees or holds packets at random, as the real path may.
class FakePath {
 public:
  FakePath(std::uint32_t ports, std::uint64_t seed) : ports_(ports), random_(seed) {}
  std::uint32_t hold_of_1000 = 0, free_of_1000 = 0;
  std::int64_t egress = -1;  ///< -1: any
  std::uint32_t processed = 0;
  std::uint32_t maintained = 0;
  bool behind = false;  ///< what maintain() answers

  void process(std::span<Packet> packets, TickMs, const FakeTable&, BatchOut& out) noexcept {
    ASSERT_LE(packets.size(), kBatchMax);
    for (Packet& packet : packets) {
      ++processed;
      std::uint32_t dice = pick(1000);
      if (dice < hold_of_1000 && held_.size() < 64) {
        held_.push_back(packet);
      } else if (dice < hold_of_1000 + free_of_1000) {
        out.freed[out.freed_count++] = packet.frame;
      } else {
        send(packet, out);
      }
    }
    if (pick(4) == 0) release(out);
  }
  bool maintain(TickMs, const FakeTable&, BatchOut& out) noexcept {
    ++maintained;
    if (pick(8) == 0) release(out);
    return behind;
  }
  [[nodiscard]] std::uint32_t held() const noexcept {
    return static_cast<std::uint32_t>(held_.size());
  }
  void release_held(BatchOut& out) noexcept {
    for (const Packet& packet : held_) out.freed[out.freed_count++] = packet.frame;
    held_.clear();
  }

 private:
  std::uint32_t pick(std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
  }
  void send(const Packet& packet, BatchOut& out) {
    Packet& sent = out.tx[out.tx_count++];
    sent = packet;
    sent.port = static_cast<PortIndex>(egress < 0 ? pick(ports_) : egress);
  }
  void release(BatchOut& out) {
    for (const Packet& packet : held_) send(packet, out);
    held_.clear();
  }
  std::uint32_t ports_;
  std::mt19937_64 random_;
  std::vector<Packet> held_;
};

/// A worker between a fake kernel and a fake path, and the serial numbers of what went through.
class Bench {
 public:
  struct Spec {
    std::uint32_t ports = 1;
    std::uint32_t batch = 32;
    std::uint32_t frames = 1024;
    FakeRings rings = {};
    std::uint64_t seed = 1;
    bool publish = true;
  };
  static constexpr std::uint32_t kFrameBytes = 2048;
  static constexpr std::uint32_t kBytes = 64;

  explicit Bench(const Spec& spec)
      : kernel(spec.ports, spec.frames, kFrameBytes, spec.rings, spec.seed),
        path(spec.ports, spec.seed + 1),
        pool(spec.frames, kFrameBytes),
        tables(1),
        counters(1, 1),
        worker({.index = WorkerIndex{0},
                .batch = spec.batch,
                .ends = kernel,
                .pool = pool,
                .memory = kernel.memory(),
                .path = path,
                .tables = tables,
                .counters = counters,
                .links = links}) {
    kernel.on_sent = [this](std::uint32_t, std::uint64_t address, std::uint32_t bytes) {
      EXPECT_EQ(bytes, kBytes);
      std::uint64_t serial = 0;
      std::memcpy(&serial, kernel.memory() + address, sizeof serial);
      EXPECT_TRUE(sent.insert(serial).second) << "packet " << serial << " left twice";
    };
    if (spec.publish) tables.publish(std::make_unique<FakeTable>());
  }
  bool arrive(std::uint32_t port, std::span<const std::byte> meta = {}) {
    std::array<std::uint8_t, kBytes> data{};
    std::uint64_t serial = ++serials;
    std::memcpy(data.data(), &serial, sizeof serial);
    return kernel.arrive(port, data.data(), kBytes, meta);
  }
  /// A packet with these words before it, as the XDP program writes them.
  bool arrive(std::uint32_t port, const lb_meta& meta) {
    return arrive(port, std::as_bytes(std::span(&meta, 1)));
  }
  [[nodiscard]] std::uint64_t handed(HandReason reason) const {
    return counters.worker.handed[raw(reason)].get();
  }
  bool step() {
    std::uint64_t kicks = kernel.kicks;
    bool moved = worker.step(now);
    // One flush a batch (process, maintain) and port, and one for a full ring in mid batch.
    EXPECT_LE(kernel.kicks - kicks, std::uint64_t{4} * kKickTries * kernel.ports());
    EXPECT_TRUE(pool.recounted());
    EXPECT_EQ(pool.owned_by(FrameOwner::Worker), path.held());
    EXPECT_EQ(pool.owned_by(FrameOwner::Completion), 0U);
    return moved;
  }
  /// Steps until nothing moves, the kernel finishing all it was given.
  void settle() {
    for (int i = 0; i < 10'000; ++i) {
      for (std::uint32_t port = 0; port < kernel.ports(); ++port) kernel.finish(port, 1000);
      ++now;
      if (!step()) return;
    }
    FAIL() << "does not come to rest";
  }
  [[nodiscard]] std::uint64_t drops(DropReason reason) const {
    return counters.worker.drops[static_cast<std::size_t>(reason)].get();
  }

  FakeKernel kernel;
  FakePath path;
  FramePool pool;
  Snapshots<FakeTable> tables;
  Counters counters;
  PortLinks links{};
  Worker<FakeKernel, FakePath, FakeTable> worker;
  TickMs now = 1;
  std::uint64_t serials = 0;
  std::set<std::uint64_t> sent;
};

TEST(Worker, EmptyStepMovesNothing) {
  Bench bench({});
  bench.step();
  EXPECT_FALSE(bench.step());
  EXPECT_EQ(bench.worker.idle_ms(), kIdleMs);
  EXPECT_EQ(bench.kernel.kicks, 0U);
}

TEST(Worker, FillIsFullAfterTheFirstStep) {
  Bench bench({});
  bench.step();
  EXPECT_EQ(bench.kernel.fill_level(0), 64U);
}

TEST(Worker, OnePacketIsSentInTheStepThatReceivesIt) {
  Bench bench({});
  bench.step();
  ASSERT_TRUE(bench.arrive(0));
  EXPECT_TRUE(bench.step());
  EXPECT_EQ(bench.sent.size(), 1U);
  EXPECT_EQ(bench.counters.worker.tx_packets.get(), 1U);
  EXPECT_EQ(bench.counters.worker.tx_bytes.get(), 64U);
}

TEST(Worker, PacketsBeforeTheFirstTableAreDropped) {
  Bench bench({.publish = false});
  bench.step();
  ASSERT_TRUE(bench.arrive(0));
  bench.step();
  EXPECT_EQ(bench.drops(DropReason::VipUnmatched), 1U);
  EXPECT_TRUE(bench.sent.empty());
}

TEST(Worker, CountsWhatTheXdpProgramSaysOfAFrame) {
  Bench bench({});
  bench.step();
  for (std::uint32_t reason = 0; reason < LB_HAND_COUNT; ++reason) {
    for (std::uint32_t i = 0; i <= reason; ++i) {
      ASSERT_TRUE(bench.arrive(0, lb_meta{LB_META_MAGIC, 7, reason, 3}));
      bench.settle();
    }
  }
  for (std::uint32_t reason = 0; reason < LB_HAND_COUNT; ++reason) {
    EXPECT_EQ(bench.handed(static_cast<HandReason>(reason)), reason + 1) << reason;
  }
  EXPECT_EQ(bench.handed(HandReason::None), 0U);
  EXPECT_EQ(bench.sent.size(), LB_HAND_COUNT * (LB_HAND_COUNT + 1U) / 2) << "as they came";
}

TEST(Worker, TrustsNothingOfTheMetadata) {
  Bench bench({});
  bench.step();
  ASSERT_TRUE(bench.arrive(0));
  for (std::uint32_t reason : {std::uint32_t{LB_HAND_COUNT}, 0x7fffffffU, 0xffffffffU}) {
    ASSERT_TRUE(bench.arrive(0, lb_meta{LB_META_MAGIC, reason, reason, reason}));
  }
  ASSERT_TRUE(bench.arrive(0, lb_meta{LB_META_MAGIC ^ 1, 0, LB_HAND_Icmp, 0}));
  bench.settle();
  EXPECT_EQ(bench.handed(HandReason::None), 5U);
  EXPECT_EQ(bench.handed(HandReason::Icmp), 0U);
  EXPECT_EQ(bench.sent.size(), 5U);
}

TEST(Worker, LooksForMetadataInTheChunkOfTheFrameOnly) {
  Bench bench({.frames = 64});
  bench.kernel.headroom = 8;
  const std::uint32_t magic = LB_META_MAGIC;
  for (std::uint32_t chunk = 1; chunk <= 64; ++chunk) {
    std::memcpy(bench.kernel.memory() + chunk * Bench::kFrameBytes - 8, &magic, sizeof magic);
  }
  for (int i = 0; i < 200; ++i) {  // each chunk at least once
    bench.settle();
    ASSERT_TRUE(bench.arrive(0));
  }
  bench.settle();
  EXPECT_EQ(bench.handed(HandReason::None), 200U);
  for (std::uint32_t chunk = 1; chunk <= 64; ++chunk) {
    const std::uint8_t* at = bench.kernel.memory() + chunk * Bench::kFrameBytes - 8;
    EXPECT_EQ(std::memcmp(at, &magic, sizeof magic), 0);
  }
}

TEST(Worker, ErasesTheMagicSoThatTheNextFrameOfTheChunkIsNotTakenForIt) {
  for (std::uint32_t reason : {std::uint32_t{LB_HAND_State}, 0xffffffffU}) {
    Bench bench({.frames = 64});
    bench.kernel.headroom = sizeof(lb_meta);  // just enough
    bench.step();
    bench.kernel.on_sent = [&](std::uint32_t, std::uint64_t address, std::uint32_t) {
      lb_meta meta;
      std::memcpy(&meta, bench.kernel.memory() + address - sizeof meta, sizeof meta);
      EXPECT_EQ(meta.magic, 0U);
      EXPECT_EQ(meta.reason, reason) << "no more than the magic";
    };
    ASSERT_TRUE(bench.arrive(0, lb_meta{LB_META_MAGIC, 1, reason, 2}));
    bench.settle();
    bench.kernel.on_sent = nullptr;
    const std::uint64_t known = bench.handed(HandReason::State);
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(bench.arrive(0));
      bench.settle();
    }
    EXPECT_EQ(bench.handed(HandReason::State), known);
    EXPECT_EQ(bench.handed(HandReason::None) + known, 201U);
  }
}

TEST(Worker, ReportsItsGenerationAlsoWhenIdle) {
  Bench bench({});
  bench.step();
  auto generation = bench.tables.publish(std::make_unique<FakeTable>());
  EXPECT_EQ(bench.tables.reclaim(), 2U);
  bench.step();
  EXPECT_EQ(bench.tables.adopted(0), generation);
  EXPECT_EQ(bench.tables.reclaim(), 1U);
}

TEST(Worker, ReceivesNoMoreThanTxHasRoomFor) {
  Bench bench({.rings = {.rx = 128, .tx = 16, .fill = 128, .completion = 64}});
  bench.step();
  bench.kernel.set_stuck(0, true);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(bench.arrive(0));
  for (int i = 0; i < 10; ++i) bench.step();
  EXPECT_EQ(bench.counters.worker.rx_packets.get(), 16U);
  EXPECT_EQ(bench.drops(DropReason::TxRingFull), 0U);
  EXPECT_EQ(bench.worker.idle_ms(), 1U);
  bench.kernel.set_stuck(0, false);
  bench.settle();
  EXPECT_EQ(bench.sent.size(), 100U);
}

TEST(Worker, PortThatTakesNothingHoldsUpTheOthersForABoundedTimeOnly) {
  Bench bench({.ports = 2, .rings = {.rx = 128, .tx = 16, .fill = 128, .completion = 64}});
  bench.step();
  bench.kernel.set_stuck(1, true);
  bench.path.egress = 1;
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(bench.arrive(0));
  bench.step();
  bench.path.egress = 0;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(bench.arrive(0));
  bench.step();
  EXPECT_EQ(bench.sent.size(), 0U);
  bench.now += kTxStallMs + 1;
  bench.step();
  EXPECT_EQ(bench.counters.worker.tx_stalls.get(), 1U);
  bench.settle();
  EXPECT_EQ(bench.sent.size(), 40U);
  bench.path.egress = 1;
  ASSERT_TRUE(bench.arrive(0));
  bench.step();
  EXPECT_EQ(bench.drops(DropReason::TxRingFull), 1U);
  bench.kernel.set_stuck(1, false);
  bench.settle();
  EXPECT_EQ(bench.sent.size(), 56U);
}

TEST(Worker, LinkDownDropsWithItsReasonAndRecovers) {
  Bench bench({.ports = 2});
  bench.path.egress = 1;
  bench.step();
  bench.links[1] = LinkState::Down;
  ASSERT_TRUE(bench.arrive(0));
  bench.step();
  EXPECT_EQ(bench.drops(DropReason::TxLinkDown), 1U);
  bench.links[1] = LinkState::Up;
  ASSERT_TRUE(bench.arrive(0));
  bench.step();
  EXPECT_EQ(bench.sent.size(), 1U);
}

TEST(Worker, LinkThatOnlyTheKernelKnowsDownIsProbedAndRecovers) {
  Bench bench({.ports = 2});
  bench.path.egress = 1;
  bench.step();
  bench.kernel.set_link(1, LinkState::Down);
  ASSERT_TRUE(bench.arrive(0));
  bench.step();  // queued, and the kick says ENETDOWN
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(bench.arrive(0));
  std::uint64_t kicks = bench.kernel.kicks;
  for (int i = 0; i < 100; ++i) bench.step();
  EXPECT_EQ(bench.kernel.kicks, kicks);
  EXPECT_EQ(bench.drops(DropReason::TxLinkDown), 5U);
  EXPECT_EQ(bench.worker.idle_ms(), kIdleMs);
  bench.kernel.set_link(1, LinkState::Up);
  bench.now += kLinkProbeMs;
  bench.settle();
  EXPECT_EQ(bench.sent.size(), 1U);  // the one that was queued
  ASSERT_TRUE(bench.arrive(0));
  bench.step();
  EXPECT_EQ(bench.sent.size(), 2U);
}

TEST(Worker, GoneDeviceIsNeverKickedAgain) {
  Bench bench({.ports = 2});
  bench.path.egress = 1;
  bench.step();
  bench.kernel.set_link(1, LinkState::Gone);
  ASSERT_TRUE(bench.arrive(0));
  bench.step();
  std::uint64_t kicks = bench.kernel.kicks;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(bench.arrive(0));
    bench.now += 100;
    bench.step();
  }
  EXPECT_EQ(bench.kernel.kicks, kicks);
  EXPECT_EQ(bench.drops(DropReason::TxLinkDown), 50U);
  EXPECT_EQ(bench.worker.idle_ms(), kIdleMs);
}

TEST(Worker, RepeatedCompletionIsCountedAndChangesNothing) {
  Bench bench({});
  bench.kernel.faults.completion_repeated = 1000;
  bench.step();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(bench.arrive(0));
  bench.settle();
  EXPECT_EQ(bench.sent.size(), 20U);
  EXPECT_EQ(bench.kernel.repeated, 20U);
  EXPECT_EQ(bench.counters.worker.frames_refused.get(), 20U);
  EXPECT_EQ(bench.pool.owned_by(FrameOwner::Tx), 0U);
}

TEST(Worker, LostCompletionsStayInTxAndTheRestGoesOn) {
  Bench bench({.frames = 256});
  bench.step();
  bench.kernel.faults.completion_lost = 1000;
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(bench.arrive(0));
  bench.settle();
  bench.kernel.faults.completion_lost = 0;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(bench.arrive(0));
    bench.settle();
  }
  EXPECT_EQ(bench.sent.size(), 1030U);
  EXPECT_EQ(bench.pool.owned_by(FrameOwner::Tx), 30U);
}

TEST(Worker, StarvedFillIsCountedAndNotFatal) {
  Bench bench({.frames = 16});
  bench.step();
  bench.kernel.faults.completion_lost = 1000;
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(bench.arrive(0));
  bench.settle();
  EXPECT_FALSE(bench.arrive(0));
  bench.step();
  EXPECT_GT(bench.counters.worker.fill_starved.get(), 0U);
}

TEST(Worker, AgesOnceAMillisecondAndSleepsShortWhileBucketsAreOverdue) {
  Bench bench({});
  bench.step();
  EXPECT_EQ(bench.path.maintained, 1U);
  bench.step();
  EXPECT_EQ(bench.path.maintained, 1U);
  EXPECT_EQ(bench.worker.idle_ms(), kIdleMs);
  bench.now += 50;
  bench.path.behind = true;
  bench.step();
  EXPECT_EQ(bench.path.maintained, 2U);
  EXPECT_EQ(bench.worker.idle_ms(), 1U);
  bench.now += 1;
  bench.path.behind = false;
  bench.step();
  EXPECT_EQ(bench.path.maintained, 3U);
  EXPECT_EQ(bench.worker.idle_ms(), kIdleMs);
}

// A port that drains a few packets at a time is never quite full, and must not slow down the other.
TEST(Worker, PortThatDrainsSlowlyHoldsUpTheOthersForABoundedTimeOnly) {
  Bench bench({.ports = 2});
  bench.step();
  bench.kernel.set_slow(1, 2);
  for (int ms = 0; ms < 100; ++ms) {  // packets leave by either port
    for (int i = 0; i < 32; ++i) (void)bench.arrive(0);
    bench.step();
    for (std::uint32_t port = 0; port < 2; ++port) bench.kernel.finish(port, 64);
    ++bench.now;
  }
  EXPECT_EQ(bench.counters.worker.tx_stalls.get(), 1U);
  EXPECT_GT(bench.counters.worker.rx_packets.get(), 2400U) << "of 3200; 2 a step would be 200";
  EXPECT_GT(bench.sent.size(), 1200U);
  EXPECT_GT(bench.drops(DropReason::TxRingFull), 0U);
  bench.kernel.set_slow(1, FakeKernel::kSentAtOnce);
  bench.settle();
}

TEST(Worker, HeldPacketsAreGivenBackAtTheEnd) {
  Bench bench({});
  bench.step();
  bench.path.hold_of_1000 = 1000;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(bench.arrive(0));
  bench.worker.step(bench.now);
  bench.worker.release_held();
  EXPECT_EQ(bench.path.held(), 0U);
  EXPECT_EQ(bench.pool.owned_by(FrameOwner::Worker), 0U);
  EXPECT_TRUE(bench.pool.recounted());
}

/// One schedule: arrivals, steps, completions, faults and links at random.
void run_schedule(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto pick = [&](std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random);
  };
  std::uint32_t ports = 1 + pick(3);
  std::uint32_t ring = 16U << pick(3);
  Bench bench({.ports = ports,
               .batch = 1 + pick(64),
               .frames = ports * ring * (1 + pick(5)) + pick(64) + 64,
               .rings = {.rx = ring, .tx = ring, .fill = ring, .completion = ring},
               .seed = seed});
  bench.path.hold_of_1000 = pick(3) * 100;
  bench.path.free_of_1000 = pick(3) * 100;
  auto chance = [&] { return pick(2) * pick(400); };
  bench.kernel.faults = {.again = pick(2) * 900,
                         .busy = chance(),
                         .no_buffers = chance(),
                         .completion_lost = pick(4) == 0 ? pick(20) : 0,
                         .completion_repeated = chance(),
                         .completion_invented = 0,
                         .rx_invented = 0,
                         .fill_withheld = chance()};
  for (int i = 0; i < 200; ++i) {
    std::uint32_t port = pick(ports);
    std::uint32_t burst = pick(2 * ring);
    for (std::uint32_t k = 0; k < burst; ++k) bench.arrive(port);
    if (pick(20) == 0) bench.kernel.set_link(port, pick(2) == 0 ? LinkState::Up : LinkState::Down);
    if (pick(20) == 0) bench.links[port] = pick(2) == 0 ? LinkState::Up : LinkState::Down;
    if (pick(500) == 0) bench.kernel.set_link(port, LinkState::Gone);
    bench.now += pick(3) * pick(15);
    bench.step();
    for (std::uint32_t k = 0; k < ports; ++k) bench.kernel.finish(k, pick(ring));
  }
  std::uint64_t out =
      bench.sent.size() + bench.drops(DropReason::TxLinkDown) + bench.drops(DropReason::TxRingFull);
  EXPECT_LE(out, bench.kernel.received);
  EXPECT_EQ(bench.counters.worker.rx_packets.get(), bench.path.processed);
}

TEST(Worker, FramesAreConservedInRandomSchedulesWithFaults) {
  for (std::uint64_t seed = 1; seed <= 2000 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    run_schedule(seed);
  }
}

TEST(Worker, WithoutFaultsEveryPacketLeavesOnceInRandomSchedules) {
  for (std::uint64_t seed = 1; seed <= 300 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::uint32_t ports = 1 + random() % 3;
    Bench bench(
        {.ports = ports, .batch = 1 + static_cast<std::uint32_t>(random() % 64), .seed = seed});
    bench.step();
    std::uint64_t in = 0;
    for (int i = 0; i < 100; ++i) {
      for (std::uint64_t k = random() % 50; k > 0; --k) {
        in += bench.arrive(static_cast<std::uint32_t>(random() % ports)) ? 1 : 0;
      }
      bench.step();
      for (std::uint32_t k = 0; k < ports; ++k) bench.kernel.finish(k, random() % 40);
    }
    bench.settle();
    EXPECT_EQ(bench.sent.size(), in);
    EXPECT_EQ(bench.pool.owned_by(FrameOwner::Tx), 0U);
  }
}

/// Descriptors that the kernel makes up must not make a frame appear twice; what they point at may
/// be one that the kernel does own, so serial numbers are not looked at.
TEST(Worker, InventedDescriptorsLeaveThePoolWhole) {
  for (std::uint64_t seed = 1; seed <= 300 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Bench bench({.ports = 2, .frames = 512, .seed = seed});
    bench.kernel.on_sent = nullptr;
    bench.kernel.faults.completion_invented = 200;
    bench.kernel.faults.rx_invented = 200;
    for (int i = 0; i < 100; ++i) {
      for (std::uint64_t k = random() % 50; k > 0; --k) bench.arrive(random() % 2);
      bench.step();
      for (std::uint32_t k = 0; k < 2; ++k) bench.kernel.finish(k, random() % 40);
    }
    EXPECT_GT(bench.counters.worker.frames_refused.get(), 0U);
  }
}

}  // namespace
}  // namespace lb
