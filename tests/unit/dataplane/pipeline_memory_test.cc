// SPDX-License-Identifier: Apache-2.0
// Pipeline over flow memory that outlives it: the flows of an earlier lbd go on, the counters agree
// with them, and what the kernel saw keeps a flow.
#include <gtest/gtest.h>

#include "tests/support/kernel_flows.h"
#include "tests/support/pipeline_world.h"

namespace lb {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

Bytes tcp(std::uint16_t port, std::uint8_t flags = kAck) {
  return PacketBuilder(kClient, kVip).tcp(port, 80, flags).build();
}
Bytes tcp6(std::uint16_t port, std::uint8_t flags = kAck) {
  return PacketBuilder(kClient6, kVip6).tcp(port, 80, flags).build();
}

SpecBuilder basic() {
  SpecBuilder spec;
  for (const char* address : {"192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"}) {
    spec.service(address);
    for (int i = 0; i < 3; ++i) spec.rs();
  }
  return spec;
}

FlowKey4 key_of(std::uint16_t port) {
  FlowKey4 key;
  key.client = ip(kClient).as_v4();
  key.vip = ip(kVip).as_v4();
  key.client_port = Be16::from_host(port);
  key.vip_port = Be16::from_host(80);
  key.proto = raw(Proto::Tcp);
  return key;
}

class PipelineMemory : public testing::Test {
 protected:
  std::unique_ptr<World> make() {
    auto world = std::make_unique<World>(1, World::small(),
                                         std::vector<FlowMemory>{{v4_.memory(), v6_.memory()}});
    world->use(spec_);
    return world;
  }
  SpecBuilder spec_ = basic();
  KernelFlows<FlowKey4> v4_{World::small().flows_max};
  KernelFlows<FlowKey6> v6_{World::small().flows_max_v6};
};

TEST_F(PipelineMemory, FlowsOfAnEarlierPipelineGoOn) {
  std::vector<std::string> targets;
  auto before = make();
  for (std::uint16_t port = 1; port <= 200; ++port) {
    before->send(tcp(port, kSyn));
    targets.push_back(before->send(port % 3 == 0 ? tcp(port, kFin | kAck) : tcp(port)));
    targets.push_back(before->send(tcp6(port, kSyn)));
  }
  before->check_counters();
  before.reset();

  auto after = make();
  after->check_counters();
  const WorkerCounters& counters = after->counters().worker;
  EXPECT_EQ(counters.flows_adopted.get(), 400U);
  EXPECT_EQ(counters.flows_new.get(), 0U);
  EXPECT_EQ(after->counters().services[0].new_flows.get(), 0U);
  std::uint64_t active = 0;
  std::uint64_t inactive = 0;
  for (std::uint32_t slot = 0; slot < 6; ++slot) {
    active += after->active(slot);
    inactive += after->inactive(slot);
  }
  EXPECT_EQ(active, 134U);
  EXPECT_EQ(inactive, 266U);
  for (std::uint16_t port = 1; port <= 200; ++port) {
    ASSERT_EQ(after->send(tcp(port)), targets[2 * (port - 1)]);
    ASSERT_EQ(after->send(tcp6(port)), targets[2 * (port - 1) + 1]);
  }
  EXPECT_EQ(counters.flows_new.get(), 0U);
  for (std::uint16_t port = 201; port <= 2500; ++port) after->send(tcp(port, kSyn));
  EXPECT_GT(counters.flows_evicted_alive.get(), 0U);
  after->check_counters();
  after->now += 3'600'000;
  for (int i = 0; i < 9; ++i, after->now += 1000) after->maintain();
  EXPECT_EQ(after->pipeline().flows4().size() + after->pipeline().flows6().size(), 0U);
  after->check_counters();
}

TEST_F(PipelineMemory, ForgetsFlowsWhoseIdsTheCountersHaveNoSlotFor) {
  {
    auto table = *FlowTable<FlowKey4>::over(v4_.memory(), World::small().flows_max, 1'000'000);
    auto put = [&](std::uint16_t port, RsId rs, ServiceId service) {
      const FlowKey4 key = key_of(port);
      table.insert(key, flow_hash(key, spec_.spec().flow_key),
                   {rs, service, 1'000'000, FlowState::Established},
                   [](const FlowData&) { return false; });
    };
    put(1, make_rs_id(1, 1), make_service_id(0, 1));
    put(2, make_rs_id(64, 1), make_service_id(0, 1));
    put(3, make_rs_id(1, 1), make_service_id(16, 1));
    put(4, make_rs_id(1, 9), make_service_id(0, 1));  // of another incarnation: ages
    put(5, RsId::None, ServiceId::None);
  }
  auto world = make();
  EXPECT_EQ(world->counters().worker.flows_adopted.get(), 3U);
  world->check_counters();
  EXPECT_EQ(world->send(tcp(1)), "rs 1");
  for (int i = 0; i < 9; ++i, world->now += 1000) world->maintain();
  EXPECT_EQ(world->pipeline().flows4().size(), 1U);
  world->check_counters();
}

TEST_F(PipelineMemory, AFlowGoesOnWhileTheKernelForwardsIt) {
  auto world = make();
  world->send(tcp(1, kSyn));
  const std::string target = world->send(tcp(1));
  world->send(tcp(2, kSyn));
  const FlowKey4 key = key_of(1);
  const std::uint64_t hash = flow_hash(key, spec_.spec().flow_key);
  for (int minute = 0; minute < 60; ++minute) {
    world->now += 60'000;
    v4_.find(key, hash)->see(world->now);
    for (int i = 0; i < 9; ++i, world->now += 1000) world->maintain();
    ASSERT_TRUE(v4_.find(key, hash)) << minute;
  }
  EXPECT_EQ(world->pipeline().flows4().size(), 1U);
  world->check_counters();
  // The last one that the worker saw is an hour ago.
  EXPECT_EQ(world->send(tcp(1)), target);
  EXPECT_EQ(world->counters().services[0].unknown_flows.get(), 0U);
  world->now += 16 * 60'000;
  for (int i = 0; i < 9; ++i, world->now += 1000) world->maintain();
  EXPECT_EQ(world->pipeline().flows4().size(), 0U);
  world->check_counters();
}

TEST_F(PipelineMemory, RefusesMemoryThatDoesNotFitItsOptions) {
  Counters counters(1, 1);
  ResolveRequests resolve(1);
  auto error = [&](FlowMemory memory) {
    auto made = Pipeline::create(WorkerIndex{}, World::small(), counters, resolve, memory, 0);
    EXPECT_TRUE(made || made.error().code.value() == EINVAL);
    return made ? "" : made.error().message;
  };
  EXPECT_EQ(error({v4_.memory(), v6_.memory()}), "");
  EXPECT_EQ(error({v4_.memory(), {}}), "");
  EXPECT_NE(error({v4_.memory().subspan(64), v6_.memory()}).find("flows_max"), std::string::npos);
  EXPECT_NE(error({{}, v6_.memory().subspan(64)}).find("flows_max_v6"), std::string::npos);
}

}  // namespace
}  // namespace lb
