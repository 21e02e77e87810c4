// SPDX-License-Identifier: Apache-2.0
// Random traffic over random tables, with and without transitions of slots: the counters agree with
// the entries after every batch, every frame is somewhere, and nothing is allocated in process()
// and maintain().
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <random>
#include <string>

#include "dataplane/pipeline.h"
#include "tests/support/packet_corpus.h"
#include "tests/support/pipeline_world.h"

// Counts what this thread allocates: by the sanitizer's hook where there is one, else by operator
// new.
namespace {
thread_local std::uint64_t allocations = 0;
}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// sanitizer/allocator_interface.h, which g++ does not install.
extern "C" int __sanitizer_install_malloc_and_free_hooks(  // NOLINT(bugprone-reserved-identifier)
    void (*on_malloc)(const volatile void*, std::size_t), void (*on_free)(const volatile void*));
namespace {
[[maybe_unused]] const int kHooks = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { ++allocations; }, [](const volatile void*) {});
}  // namespace
#else
// Not inlined: g++ would take malloc and delete, or new and free, for a pair.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

SpecBuilder spec(Scheduler scheduler = Scheduler::Wlc) {
  SpecBuilder out;
  for (const char* address : {"192.0.2.10:80/tcp", "192.0.2.10:any/udp", "[2001:db8::10]:80/tcp"}) {
    out.service(address, scheduler);
    for (int i = 0; i < 3; ++i) out.rs();
  }
  auto& timeouts = out.spec().services[0].timeouts;
  timeouts.syn_recv_ms = 300;
  timeouts.close_ms = 100;
  return out;
}

Bytes random_packet(std::mt19937& random) {
  auto port = static_cast<std::uint16_t>(1 + random() % 200);
  constexpr std::uint8_t kFlags[] = {kSyn, kAck, kAck, kAck, kAck | kFin, kRst};
  std::uint8_t flags = kFlags[random() % std::size(kFlags)];
  const std::string client = "198.51.100." + std::to_string(1 + random() % 3);
  switch (random() % 4) {
    case 0:
      return PacketBuilder(client, kVip).udp(port, 53).build();
    case 1:
      return PacketBuilder(kClient6, kVip6).tcp(port, 80, flags).build();
    default:
      return PacketBuilder(client, kVip).tcp(port, 80, flags).build();
  }
}

void change(SpecBuilder& spec, std::mt19937& random) {
  auto slot = static_cast<std::uint32_t>(random() % spec.spec().real_servers.size());
  RealServer& rs = spec.spec().real_servers[slot];
  switch (random() % 4) {
    case 0:
      rs.up = !rs.up;
      break;
    case 1:
      rs.weight = random() % 3;
      break;
    case 2:
      rs.has_mac = !rs.has_mac;
      break;
    default:
      rs.id = make_rs_id(slot, static_cast<std::uint16_t>((raw(rs.id) >> kSlotBits) + 1));
  }
}

// Slots of every kind, owners that need not be up, and all that a service can say of its flows.
void change_slots(SpecBuilder& spec, std::mt19937& random) {
  const std::size_t index = random() % 3;
  Service& service = spec.spec().services[index];
  service.affinity = static_cast<Affinity>(random() % 3);
  service.flow_rate = random() % 3 == 0 ? static_cast<std::uint16_t>(1 + random() % 8) : 0;
  constexpr Scheduler kSome[] = {Scheduler::Mh, Scheduler::Sh, Scheduler::Mh, Scheduler::Wlc};
  service.scheduler = kSome[random() % std::size(kSome)];
  spec.slots(index, [seed = random()](SlotTable& table) {
    std::mt19937 of_slots(seed);
    auto member = [&] { return of_slots() % 8 == 0 ? LB_SLOT_NOBODY : of_slots() % 3; };
    for (std::uint32_t slot = 0; slot < table.slots(); ++slot) {
      if (of_slots() % 2 == 0) table.set_owner(slot, member());
      const auto kind = of_slots() % 4;
      if (kind == 0) table.except(slot);
      if (kind == 1 || kind == 2) table.open(slot, of_slots() % 3);
    }
  });
}

// Tables so small that flows are evicted all the time.
TEST(PipelineModel, KeepsItsCountersWithItsEntries) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    std::mt19937 random(seed);
    PipelineOptions options = World::small();
    options.flows_max = options.flows_max_v6 = seed % 2 == 0 ? 64 : 512;
    World world(2, options);
    SpecBuilder builder = spec();
    world.use(builder);
    for (int round = 0; round < 400; ++round) {
      std::vector<Bytes> frames;
      for (std::uint32_t i = random() % 40; i > 0; --i) frames.push_back(random_packet(random));
      std::size_t worker = random() % 2;
      world.send(frames, worker);
      world.now += random() % 50;
      if (random() % 4 == 0) world.maintain(worker);
      if (random() % 8 == 0) {
        change(builder, random);
        world.use(builder);
      }
      ASSERT_NO_FATAL_FAILURE(world.check_counters()) << "seed " << seed << " round " << round;
    }
    EXPECT_GT(world.counters().worker.flows_from_peer.get(), 0U);
    EXPECT_GT(world.counters().worker.flows_expired.get(), 0U);
    if (seed % 2 != 0) continue;
    EXPECT_GT(world.counters().worker.flows_evicted_alive.get(), 0U);
  }
}

TEST(PipelineModel, KeepsItsCountersThroughTransitionsOfSlots) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    std::mt19937 random(seed);
    PipelineOptions options = World::small();
    options.flows_max = options.flows_max_v6 = seed % 2 == 0 ? 64 : 512;
    options.half_open_max = 20;
    World world(2, options);
    SpecBuilder builder = spec(Scheduler::Mh);
    world.use(builder);
    for (int round = 0; round < 400; ++round) {
      std::vector<Bytes> frames;
      for (std::uint32_t i = random() % 40; i > 0; --i) frames.push_back(random_packet(random));
      std::size_t worker = random() % 2;
      world.now += random() % 50;
      if (random() % 4 == 0) world.maintain(worker);
      if (random() % 8 == 0) {
        random() % 2 == 0 ? change(builder, random) : change_slots(builder, random);
        world.use(builder);
        for (std::size_t i = 0; i < 2; ++i) world.send(std::vector<Bytes>{}, i);  // adopt it
      }
      world.send(frames, worker);
      ASSERT_NO_FATAL_FAILURE(world.check_counters()) << "seed " << seed << " round " << round;
    }
    std::uint64_t unremembered = 0;
    for (int i = 0; i < 3; ++i) unremembered += world.counters().services[i].unremembered.get();
    EXPECT_GT(unremembered, 0U);
    EXPECT_GT(world.counters().worker.flows_from_peer.get(), 0U);
    EXPECT_GT(world.counters().worker.flows_expired.get(), 0U);
  }
}

TEST(PipelineModel, AllocatesNothingOnThePath) {
  std::mt19937 random(9);
  Counters counters(16, 64);
  ResolveRequests resolve(64);
  auto pipeline = *Pipeline::create(WorkerIndex{}, World::small(), counters, resolve);
  PipelinePeers peers{{pipeline.get()}, {&counters}};
  pipeline->set_peers(peers);
  SpecBuilder builder = spec();
  change_slots(builder, random);
  change_slots(builder, random);
  auto table = builder.build();
  std::vector<Frame> frames;
  std::vector<Bytes> kinds = corpus();
  for (int i = 0; i < 2000; ++i) {
    frames.emplace_back(i % 3 == 0 ? kinds[random() % kinds.size()] : random_packet(random));
  }
  auto out = std::make_unique<BatchOut>();
  TickMs now = 1000;
  std::uint64_t before = allocations;
  ::operator delete(::operator new(1));  // a new-expression could be left out
  ASSERT_GT(allocations, before) << "allocations are counted";
  before = allocations;
  for (std::size_t i = 0; i < frames.size(); i += 100) {
    std::array<Packet, 100> batch;
    for (std::size_t k = 0; k < batch.size(); ++k) batch[k] = frames[i + k].packet();
    out->clear();
    pipeline->process(batch, now, *table, *out);
    out->clear();
    (void)pipeline->maintain(now += 700, *table, *out);
  }
  EXPECT_EQ(allocations, before);
  EXPECT_GT(counters.worker.flows_new.get(), 100U);
}

}  // namespace
}  // namespace lb
