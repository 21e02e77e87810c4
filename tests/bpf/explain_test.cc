// SPDX-License-Identifier: Apache-2.0
// What explain says of a packet, and then what becomes of it: the XDP program and a pipeline over
// the same tables and flow memory do what was said, and nothing has changed by the question.
#include "dataplane/explain.h"

#include "dataplane/io/xdp_explainer.h"
#include "dataplane/pipeline.h"
#include "tests/bpf/xdp_program_run.h"
#include "tests/support/frame.h"

namespace lb {
namespace {

using test::kAck;

class Explain : public XdpProgramRun {
 protected:
  static constexpr int kLoopback = 1;  // BPF_PROG_TEST_RUN wants an interface for the queue

  void fill() override {
    set_engine(LB_ENGINE_HYBRID);
    world_->vip(kVip);
    world_->vip(kVip6);
    world_->service("192.0.2.10:80/tcp", Scheduler::Mh, 3);
    world_->service("192.0.2.10:53/udp", Scheduler::Mh, 3, 1);
    world_->service("192.0.2.10:81/tcp", Scheduler::Wlc, 2);
    world_->service("[2001:db8::10]:443/tcp", Scheduler::Sh, 3);
    PipelineOptions options;
    options.flows_max = options.flows_max_v6 = 384;
    auto pipeline = Pipeline::create(WorkerIndex{}, options, counters_, resolve_,
                                     {shared_->flows4(0), shared_->flows6(0)}, tick_ms_now());
    ASSERT_TRUE(pipeline) << pipeline.error().message;
    pipeline_ = std::move(*pipeline);
    ASSERT_TRUE(shared_->set_device(static_cast<PortIndex>(1), kLoopback));
    auto explainer = XdpExplainer::load(*shared_, *program_);
    ASSERT_TRUE(explainer) << explainer.error().message;
    explainer_.emplace(std::move(*explainer));
  }
  /// Every slot of a service is open: member 1 owns it, before that it was member 0.
  void open_slots(std::size_t index) {
    Service& service = world_->spec().services[index];
    SlotPlan plan(std::vector<std::uint16_t>(251, 0));
    const std::vector<std::uint16_t> owners(251, 1);
    const MemberBits alive(service.rs_count, true);
    plan.advance({.owners = owners, .alive = alive, .now_s = 100, .window_s = 900});
    service.table = world_->table_of(service, plan);
    install();
  }
  static ExplainRequest ask(std::uint16_t client_port, const char* to, std::uint8_t flags = kSyn) {
    const ServiceAddr address = *ServiceAddr::parse(to);
    ExplainRequest request;
    request.client = test::ip(address.vip.is_v4() ? kClient : kClient6);
    request.vip = address.vip;
    request.client_port = client_port;
    request.vip_port = address.port_first;
    request.proto = address.proto;
    request.tcp_flags = flags;
    return request;
  }
  Explanation explain(const ExplainRequest& request) {
    const std::vector<std::uint8_t> frame = probe_frame(request, kPortMac);
    auto answer = explainer_->run(frame, kLoopback, 0);
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    answer->worker = look_as_worker(*table_, *pipeline_, peers_, frame, tick_ms_now());
    return std::move(*answer);
  }
  /// Where the packet really goes: "rs N", a reason, "pass".
  std::string send(const ExplainRequest& request) {
    const Bytes frame = probe_frame(request, kPortMac);
    XdpOutcome outcome = this->outcome(frame);
    if (outcome.what == "tx" || outcome.what == "redirect") return rs_of(outcome.bytes);
    if (outcome.what != "af_xdp") return outcome.what;
    test::Frame owned(frame);
    Packet packet = owned.packet();
    std::array<std::uint64_t, kDropReasons> before{};
    for (std::size_t i = 0; i < kDropReasons; ++i) before[i] = counters_.worker.drops[i].get();
    out_->clear();
    pipeline_->process({&packet, 1}, tick_ms_now(), *table_, *out_);
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (counters_.worker.drops[i].get() == before[i]) continue;
      return std::string(drop_reason_name(static_cast<DropReason>(i)));
    }
    return out_->tx_count == 1 ? rs_of(test::bytes_of(out_->tx[0])) : "lost";
  }
  static std::string rs_of(const Bytes& frame) { return "rs " + std::to_string(frame.at(5)); }
  /// What the explanation says of that.
  static std::string said(const Explanation& e) {
    const bool handed = e.handed != HandReason::None;
    switch (handed ? e.worker.verdict : e.verdict) {
      case ExplainVerdict::Pass:
        return e.panic ? "panic" : "pass";
      case ExplainVerdict::Forward:
        return handed ? "rs " + std::to_string(slot_of(e.worker.rs->id)) : rs_of(e.frame);
      case ExplainVerdict::Drop:
      case ExplainVerdict::Answer:
        break;
    }
    return std::string(drop_reason_name(handed ? e.worker.drop : e.drop));
  }
  /// Says what happens, then it happens, and is not changed by having been asked.
  void check(const ExplainRequest& request) {
    const std::size_t flows = pipeline_->flows4().size() + pipeline_->flows6().size();
    const Explanation e = explain(request);
    ASSERT_EQ(pipeline_->flows4().size() + pipeline_->flows6().size(), flows);
    ASSERT_EQ(send(request), said(e)) << "client port " << request.client_port;
    if (e.handed == HandReason::None || e.worker.drop == DropReason::TtlExpired) return;
    const std::size_t now = pipeline_->flows4().size() + pipeline_->flows6().size();
    ASSERT_EQ(now > flows, e.worker.remembers && !e.worker.flow) << request.client_port;
  }

  Counters counters_{16, 64};
  ResolveRequests resolve_{64};
  std::vector<const Counters*> peers_{&counters_};
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<BatchOut> out_ = std::make_unique<BatchOut>();
  std::optional<XdpExplainer> explainer_;
};

TEST_F(Explain, SaysWhereSteadySlotsSend) {
  for (std::uint16_t port = 1000; port < 1050; ++port) {
    check(ask(port, "192.0.2.10:80/tcp"));
    check(ask(port, "192.0.2.10:53/udp"));
    check(ask(port, "[2001:db8::10]:443/tcp", kAck));
  }
  const Explanation e = explain(ask(1000, "192.0.2.10:80/tcp"));
  EXPECT_EQ(e.handed, HandReason::None);
  EXPECT_EQ(e.trace.steps, LB_TRACE_SERVICE | LB_TRACE_SLOT | LB_TRACE_RS);
  EXPECT_EQ(e.trace.service_id, raw(e.worker.service->id));
  EXPECT_EQ(e.trace.slot, e.worker.slot);
  EXPECT_EQ(e.trace.rs_id, raw(e.worker.rs->id));
  EXPECT_EQ(e.trace.word, e.trace.slot % 3) << "owners in turn";
}

TEST_F(Explain, SaysWhatTheWorkerDoesInOpenSlots) {
  open_slots(0);
  open_slots(3);
  for (const char* to : {"192.0.2.10:80/tcp", "[2001:db8::10]:443/tcp"}) {
    for (std::uint16_t port = 1000; port < 1020; ++port) {
      check(ask(port, to, port % 2 == 0 ? kSyn : kAck));  // begins, or was there
      check(ask(port, to, kAck));
      check(ask(port, to, port % 3 == 0 ? test::kRst : kAck));
      check(ask(port, to, kSyn));
    }
  }
  const Explanation e = explain(ask(999, "192.0.2.10:80/tcp"));
  EXPECT_EQ(e.handed, HandReason::New);
  EXPECT_EQ(e.trace.steps, LB_TRACE_SERVICE | LB_TRACE_SLOT | LB_TRACE_MEMORY);
  EXPECT_TRUE(e.trace.state & LB_STATE_OPEN);
  EXPECT_TRUE(e.worker.remembers);
}

TEST_F(Explain, SaysWhatIsRemembered) {
  open_slots(0);
  const ExplainRequest ack = ask(1001, "192.0.2.10:80/tcp", kAck);
  ASSERT_EQ(send(ack), "rs 0");
  const Explanation e = explain(ack);
  EXPECT_EQ(e.handed, HandReason::None) << "the kernel does what is remembered";
  EXPECT_EQ(e.trace.steps, LB_TRACE_SERVICE | LB_TRACE_SLOT | LB_TRACE_MEMORY | LB_TRACE_FLOW |
                               LB_TRACE_FOLLOWS | LB_TRACE_RS);
  EXPECT_EQ(e.trace.flow_state, static_cast<std::uint32_t>(LB_FLOW_ESTABLISHED));
  EXPECT_EQ(e.trace.flow_rs_id, e.trace.rs_id);
  EXPECT_EQ(said(e), "rs 0");
}

TEST_F(Explain, SaysWhatSchedulersChoose) {
  for (std::uint16_t port = 1000; port < 1020; ++port) {
    check(ask(port, "192.0.2.10:81/tcp"));
    check(ask(port, "192.0.2.10:81/tcp", kAck));
    check(ask(port, "192.0.2.10:81/tcp", kAck | test::kFin));
  }
}

TEST_F(Explain, SaysWhyAPacketIsDropped) {
  check(ask(1000, "192.0.2.10:9999/tcp"));
  check(ask(1000, "192.0.2.99:80/tcp"));
  check(ask(1000, "192.0.2.10:80/tcp", 0));
  check(ask(1000, "192.0.2.10:80/tcp", kSyn | test::kFin));
  ExplainRequest expired = ask(1000, "192.0.2.10:80/tcp");
  expired.ttl = 1;
  check(expired);
  EXPECT_EQ(explain(expired).worker.verdict, ExplainVerdict::Answer);
  ExplainRequest large = ask(1000, "192.0.2.10:80/tcp", kAck);
  large.ip_bytes = 1501;
  check(large);
  large.ip_bytes = 1500;
  large.vlan = 7;
  check(large);
  for (RealServer& rs : world_->spec().real_servers) rs.has_mac = false;
  for (Service& service : world_->spec().services) service.table = nullptr;
  install();
  check(ask(1000, "192.0.2.10:80/tcp"));
  EXPECT_EQ(said(explain(ask(1000, "192.0.2.10:80/tcp"))), "no_neighbour");
}

TEST_F(Explain, CountsAndTouchesNothing) {
  open_slots(0);
  world_->spec().services[0].flow_rate = 1;
  install();
  const ExplainRequest ack = ask(1001, "192.0.2.10:80/tcp", kAck);
  ASSERT_EQ(send(ack), "rs 0");
  const auto* bucket = reinterpret_cast<const std::byte*>(shared_->flows4(0).data());
  const std::vector<std::byte> flows(bucket, bucket + shared_->flows4(0).size());
  Counters before(16, 64), after(16, 64);
  shared_->read_counters(before);
  const auto port_before = program_->counters();
  for (int i = 0; i < 20; ++i) {
    (void)explain(ack);
    EXPECT_EQ(explain(ask(2000, "192.0.2.10:80/tcp")).handed, HandReason::New)
        << "the rate of one in a window is not used up";
    (void)explain(ask(1000, "192.0.2.10:53/udp"));
  }
  shared_->read_counters(after);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(after.services[i].packets.get(), before.services[i].packets.get());
    EXPECT_EQ(after.services[i].unknown_flows.get(), before.services[i].unknown_flows.get());
  }
  EXPECT_TRUE(std::equal(flows.begin(), flows.end(), bucket));
  const auto port_after = program_->counters();
  EXPECT_EQ(port_after.handed_sum(), port_before.handed_sum());
  EXPECT_EQ(port_after.redirected, port_before.redirected);
}

TEST_F(Explain, SaysThatTheWorkerIsGone) {
  open_slots(0);
  beat(tick_ms_now() - 61'000);
  const Explanation e = explain(ask(1000, "192.0.2.10:80/tcp"));
  EXPECT_TRUE(e.alone);
  EXPECT_EQ(said(e), "rs 0") << "it cannot be remembered";
  beat(tick_ms_now());
  ASSERT_TRUE(program_->set_panic(true));
  EXPECT_EQ(said(explain(ask(1000, "192.0.2.10:80/tcp"))), "panic") << "the port's own settings";
}

TEST_F(Explain, RefusesAQueueThatThereIsNot) {
  auto answer = explainer_->run(probe_frame(ask(1, "192.0.2.10:80/tcp"), kPortMac), kLoopback, 63);
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message.find("queue 63"), std::string::npos);
}

}  // namespace
}  // namespace lb
