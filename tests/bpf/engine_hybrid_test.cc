// SPDX-License-Identifier: Apache-2.0
// Engine with XDP programs that forward by themselves, and with ones that must not.
#include <net/if.h>

#include "dataplane/base/xdp_features.h"
#include "tests/bpf/engine_run.h"
#include "tests/bpf/passing_end.h"
#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

/// The same service with a hashed scheduler and a table of slots, that XDP can decide by.
std::unique_ptr<ServiceTable> hashed_service(Engine& engine, unsigned egress) {
  FastWorld world(engine.table_memory());
  world.spec().ports.clear();
  for (const auto& port : engine.ports()) world.spec().ports.push_back({port.mac, port.mtu, true});
  world.vip("192.0.2.10");
  world.service("192.0.2.10:53/udp", Scheduler::Mh, 1, egress);
  world.spec().real_servers[0].mac = kRsMac;
  return world.build();
}

TEST_F(EngineRun, ForwardsInTheKernelOutOfEitherPort) {
  PassingEnd one("c0");
  PassingEnd two("c1");
  ASSERT_TRUE(one.attached() && two.attached());
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  RawEnd client("c0");
  RawEnd server("c1");
  ASSERT_TRUE(engine_->publish(hashed_service(*engine_, 0)));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(goes_through(client, client)) << i;
  EXPECT_EQ(engine_->ports()[0].xdp_sent, 20U);
  ASSERT_TRUE(engine_->publish(hashed_service(*engine_, 1)));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(goes_through(client, server)) << i;
  EXPECT_EQ(engine_->ports()[0].xdp_forwarded, 20U);
  EXPECT_EQ(engine_->ports()[0].xdp_handed, 0U);
  EXPECT_EQ(total(&WorkerCounters::rx_packets), 0U);
  engine_->refresh_counters();
  EXPECT_EQ(engine_->counters().back()->services[0].packets.get(), 40U);
}

TEST_F(EngineRun, ExplainsWhatThenHappens) {
  PassingEnd one("c0");
  PassingEnd two("c1");
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  ASSERT_TRUE(engine_->publish(hashed_service(*engine_, 1)));
  const std::size_t objects = engine_->bpf().size();
  ExplainRequest request;
  request.client = test::ip("198.51.100.7");
  request.vip = test::ip("192.0.2.10");
  request.client_port = 1001;
  request.vip_port = 53;
  request.proto = Proto::Udp;
  auto said = engine_->explain(request);
  ASSERT_TRUE(said) << said.error().message;
  EXPECT_EQ(said->handed, HandReason::None);
  EXPECT_EQ(said->verdict, ExplainVerdict::Forward);
  EXPECT_EQ(said->generation, static_cast<Generation>(1));
  EXPECT_TRUE(is_for_rs(said->frame));
  ASSERT_NE(said->worker.rs, nullptr);
  EXPECT_EQ(said->trace.rs_id, raw(said->worker.rs->id));
  EXPECT_EQ(engine_->ports()[0].xdp_forwarded, 0U) << "nothing is counted";
  EXPECT_GT(engine_->bpf().size(), objects) << "show bpf has the program that explains";
  RawEnd client("c0");
  RawEnd server("c1");
  EXPECT_TRUE(goes_through(client, server));
  EXPECT_EQ(engine_->ports()[0].xdp_forwarded, 1U);
  request.queue = 1;
  EXPECT_FALSE(engine_->explain(request)) << "there is one queue";
  request.queue = 0;
  request.port = static_cast<PortIndex>(2);
  EXPECT_FALSE(engine_->explain(request)) << "there are two ports";
}

TEST_F(EngineRun, WorkersSendWhereXdpCannotUntilItCan) {
  if (!read_xdp_features(static_cast<int>(if_nametoindex("d1")))) {
    GTEST_SKIP() << "the kernel does not tell XDP features: Linux 6.3 and later do";
  }
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  RawEnd client("c0");
  RawEnd server("c1");
  ASSERT_TRUE(engine_->publish(hashed_service(*engine_, 1)));
  EXPECT_NE(engine_->ports()[1].engine_reason.find("other end of the veth"), std::string::npos);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(goes_through(client, server)) << i;
  EXPECT_EQ(engine_->ports()[0].xdp_forwarded, 0U);
  EXPECT_EQ(engine_->ports()[0].handed[static_cast<std::size_t>(LB_HAND_Egress)], 10U);

  PassingEnd passes("c1");
  ASSERT_TRUE(passes.attached());
  engine_->watch();
  EXPECT_EQ(engine_->ports()[1].engine_reason, "");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(goes_through(client, server)) << i;
  EXPECT_EQ(engine_->ports()[0].xdp_forwarded, 10U);
}

TEST_F(EngineRun, TheAfxdpEngineGivesTheWorkersAll) {
  auto config = small_config({"d0"});
  config.engine = EngineMode::Afxdp;
  ASSERT_NO_FATAL_FAILURE(start(config));
  ASSERT_TRUE(engine_->publish(hashed_service(*engine_, 0)));
  RawEnd client("c0");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(goes_through(client, client)) << i;
  EXPECT_EQ(engine_->ports()[0].xdp_handed, 20U);
  EXPECT_EQ(engine_->ports()[0].handed[LB_HAND_Engine], 20U);
  EXPECT_EQ(total(&WorkerCounters::tx_packets), 20U);
}

}  // namespace
}  // namespace lb
