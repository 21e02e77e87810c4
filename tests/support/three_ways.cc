// SPDX-License-Identifier: Apache-2.0
#include "tests/support/three_ways.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace lb::test {
namespace {

constexpr std::uint32_t kBuckets = 1024;  // one call of the ageing goes around
constexpr std::uint32_t kFlowsMax = kBuckets * 6;
constexpr FastPathSizes kSizes{.services_max = RandomWorld::kServices,
                               .rs_max = 256,
                               .queues = 1,
                               .buckets4 = kBuckets,
                               .buckets6 = kBuckets};
constexpr std::uint32_t kIdleMs = 100'000;

std::string hex(const Bytes& bytes) {
  std::string out;
  for (std::uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

std::string names(const Reasons& reasons) {
  std::string out;
  for (DropReason reason : reasons) out += fmt::format(" {}", drop_reason_name(reason));
  return out;
}

std::string text(const Ending& ending) {
  if (!ending.sent) return "dropped:" + names(ending.reasons);
  return fmt::format("sent by port {}: {}", raw(ending.port), hex(ending.bytes));
}

FlowKey4 key4(const RefTuple& tuple) {
  FlowKey4 key;
  key.client = Be32::load(tuple.client.data());
  key.vip = Be32::load(tuple.vip.data());
  key.client_port = Be16::from_host(tuple.client_port);
  key.vip_port = Be16::from_host(tuple.vip_port);
  key.proto = tuple.proto;
  return key;
}

FlowKey6 key6(const RefTuple& tuple) {
  FlowKey6 key;
  std::memcpy(key.client, tuple.client.data(), 16);
  std::memcpy(key.vip, tuple.vip.data(), 16);
  key.client_port = Be16::from_host(tuple.client_port);
  key.vip_port = Be16::from_host(tuple.vip_port);
  key.proto = tuple.proto;
  return key;
}

// Calls `visit(flow, seen)` for each entry of a mapped flow memory.
template <class Bucket>
void each_flow(std::span<std::byte> memory, auto&& visit) {
  auto* buckets = reinterpret_cast<Bucket*>(memory.data());
  for (std::size_t b = 0; b < memory.size() / sizeof(Bucket); ++b) {
    for (unsigned i = 0; i < LB_FLOW_SLOTS; ++i) {
      const std::uint64_t tags = buckets[b].tags[i / 4] >> (16 * (i % 4));
      if ((tags & 0xffff) != 0) visit(buckets[b].flows[i], buckets[b].seen[i]);
    }
  }
}

void each_flow(const FastPath& shared, auto&& visit) {
  each_flow<lb_flow_bucket4>(shared.flows4(0), visit);
  each_flow<lb_flow_bucket6>(shared.flows6(0), visit);
}

}  // namespace

Result<std::unique_ptr<ThreeWays>> ThreeWays::create() {
  std::unique_ptr<ThreeWays> ways(new ThreeWays);
  LB_TRY_ASSIGN(ways->shared_, FastPath::create(kSizes));
  LB_TRY_ASSIGN(ways->program_, XdpProgram::load(*ways->shared_));
  LB_TRY(ways->shared_->set_device(static_cast<PortIndex>(0), 1));
  LB_TRY(ways->shared_->set_device(static_cast<PortIndex>(1), 1));
  ways->socket_.reset(socket(AF_XDP, SOCK_RAW, 0));
  int entries = 64;
  if (setsockopt(ways->socket_.get(), SOL_XDP, XDP_RX_RING, &entries, sizeof entries) != 0) {
    return fail_errno(errno, "AF_XDP socket");
  }
  return ways;
}

Status ThreeWays::begin(std::uint64_t seed) {
  seed_ = seed;
  std::mt19937_64 random(seed ^ 0x5eed);
  world_.emplace(random(), *shared_);
  port_ = static_cast<PortIndex>(random() % 2);
  only_handed_ = random() % 2 == 0;
  const bool afxdp = random() % 6 == 0;
  const bool sends_all = random() % 6 != 0;
  options_.flows_max = options_.flows_max_v6 = kFlowsMax;
  options_.fragments_max = 16'384;
  options_.fragment_timeout_ms = 60'000;
  options_.icmp_rate = 1'000'000'000;
  options_.half_open_max = random() % 4 == 0 ? 20 : 65'536;
  options_.held_max = 16;
  LB_TRY(install());
  LB_TRY(forget());
  LB_TRY(program_->set_mac(mac()));
  forwarding_ = {.port = port_,
                 .engine = afxdp ? LB_ENGINE_AFXDP : LB_ENGINE_HYBRID,
                 .sends = sends_all ? ~0U : 1U,
                 .stale_ms = 60'000};
  return program_->set_forwarding(forwarding_);
}

Status ThreeWays::forget() {
  number_ = 0;
  swept_ = false;
  begun_ = tick_ms_now();
  alone_ = false;
  LB_TRY(program_->set_socket(0, socket_.get()));
  std::ranges::fill(shared_->flows4(0), std::byte{});
  std::ranges::fill(shared_->flows6(0), std::byte{});
  pipeline_.reset();
  frames_.clear();
  counters_ = std::make_unique<Counters>(kSizes.services_max, kSizes.rs_max);
  resolve_ = std::make_unique<ResolveRequests>(kSizes.rs_max);
  LB_TRY_ASSIGN(pipeline_, Pipeline::create(WorkerIndex{}, options_, *counters_, *resolve_,
                                            {shared_->flows4(0), shared_->flows6(0)}, begun_));
  referee_.emplace(
      RefereeOptions{.half_open_max = options_.half_open_max, .held_max = options_.held_max});
  referee_->arrive_at(port_);
  referee_->use(spec_);
  return {};
}

Status ThreeWays::install() {
  LB_TRY_ASSIGN(spec_, world_->spec());
  LB_TRY_ASSIGN(auto table, ServiceTable::build(spec_));
  LB_TRY(shared_->install(*table));
  shared_->forget_others(*table);
  table->generation = static_cast<Generation>(++generation_);
  table_ = std::move(table);
  if (referee_) referee_->use(spec_);
  return {};
}

Status ThreeWays::change() {
  world_->change();
  return install();
}

Status ThreeWays::stop_worker() {
  alone_ = true;
  forwarding_.sends = ~0U;  // else it could not send by itself what it has to
  LB_TRY(program_->set_forwarding(forwarding_));
  return program_->set_socket(0, -1);
}

void ThreeWays::let_idle() {
  if (alone_) return;  // what the program alone has seen, the referee does not know
  each_flow(*shared_, [](auto& flow, __u32& seen) {
    const __u64 high = flow.stamp & ~__u64{0xffffffff};
    flow.stamp = high | static_cast<__u32>(static_cast<__u32>(flow.stamp) - kIdleMs);
    seen -= kIdleMs;
  });
  referee_->let_idle(kIdleMs);
}

void ThreeWays::sweep() {
  if (swept_) return;
  swept_ = true;
  const TickMs now = tick_ms_now();
  out_->clear();
  (void)pipeline_->maintain(now, *table_, *out_);
  referee_->sweep(now);
}

bool ThreeWays::bend_a_flow() {
  bool bent = false;
  each_flow(*shared_, [&](auto& flow, __u32&) {
    const auto id = static_cast<RsId>(static_cast<std::uint32_t>(flow.ids));
    if (bent || table_->rs(id) == nullptr) return;
    for (const Service& service : table_->services()) {
      if (raw(service.id) != flow.ids >> 32) continue;
      for (const RealServer& other : table_->real_servers(service)) {
        if (bent || other.id == id || !other.up) continue;
        flow.ids = raw(other.id) | static_cast<__u64>(raw(service.id)) << 32;
        bent = true;
      }
    }
  });
  return bent;
}

ThreeWays::Program ThreeWays::run_program(const Bytes& frame) {
  Program program;
  program.bytes.resize(frame.size() + 256);
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_out = program.bytes.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_size_out = static_cast<__u32>(program.bytes.size());
  __atomic_store_n(shared_->beat(0), tick_ms_now(), __ATOMIC_RELAXED);
  if (number_ == 1) before_ = program_->counters();
  if (bpf_prog_test_run_opts(*program_->object().program_fd("lb_xdp"), &options) != 0) {
    program.what = fmt::format("wrong: BPF_PROG_TEST_RUN: {}", strerror(errno));
    return program;
  }
  program.bytes.resize(options.data_size_out);
  const auto now = program_->counters();
  explain(now, options.retval, program);
  before_ = now;
  if (program.what == "handed" && program.bytes.size() >= frame.size() + sizeof(lb_meta)) {
    const auto cut = program.bytes.begin() + sizeof(lb_meta);
    program.meta.assign(program.bytes.begin(), cut);
    program.bytes.erase(program.bytes.begin(), cut);
  }
  return program;
}

// What the program did is what it counted, and its verdict has to agree with that.
void ThreeWays::explain(const XdpProgram::CounterValues& now, std::uint32_t code,
                        Program& program) const {
  int found = 0;
  auto is = [&](std::uint64_t before, std::uint64_t after, std::uint32_t expected,
                const char* what) {
    if (before == after) return false;
    ++found;
    program.what = code == expected && after == before + 1 ? what : "wrong: another verdict";
    return true;
  };
  is(before_.passed, now.passed, XDP_PASS, "pass");
  is(before_.sent, now.sent, XDP_TX, "tx");
  is(before_.redirected, now.redirected, XDP_REDIRECT, "redirect");
  for (std::uint32_t i = 0; i < LB_HAND_REASON_COUNT; ++i) {
    if (is(before_.handed[i], now.handed[i], XDP_REDIRECT, "handed")) program.hand_reason = i;
  }
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    if (is(before_.drops[i], now.drops[i], XDP_DROP, "drop")) {
      program.reason = static_cast<DropReason>(i);
    }
  }
  if (found != 1) program.what = fmt::format("wrong: counted {} times", found);
  program.alone = now.alone != before_.alone;
  if (program.alone && !alone_) program.what = "wrong: alone, though the worker lives";
}

ThreeWays::Worker ThreeWays::run_worker(const Bytes& frame, const Bytes& meta, TickMs now) {
  Worker worker;
  auto owned = std::make_unique<Frame>(frame);
  Packet packet = owned->packet();
  packet.port = port_;
  std::ranges::copy(meta, packet.data - meta.size());
  frames_[packet.frame] = std::move(owned);
  std::array<std::uint64_t, kDropReasons> before{};
  for (std::size_t i = 0; i < kDropReasons; ++i) before[i] = counters_->worker.drops[i].get();
  const std::uint32_t held = pipeline_->held();
  out_->clear();
  pipeline_->process({&packet, 1}, now, *table_, *out_);
  for (std::uint32_t i = 0; i < out_->tx_count + out_->freed_count; ++i) {
    const bool sent = i < out_->tx_count;
    auto found = frames_.find(sent ? out_->tx[i].frame : out_->freed[i - out_->tx_count]);
    if (found == frames_.end() || !found->second->intact()) {
      worker.broken = "the pipeline wrote outside of a frame, or gave one back twice";
      return worker;
    }
    if (sent) worker.sent.emplace_back(out_->tx[i].port, bytes_of(out_->tx[i]));
    frames_.erase(found);
  }
  worker.held = pipeline_->held() > held;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const std::uint64_t more = counters_->worker.drops[i].get() - before[i];
    worker.drops.insert(worker.drops.end(), more, static_cast<DropReason>(i));
  }
  return worker;
}

std::optional<FlowData> ThreeWays::remembered(const RefTuple& tuple) const {
  if (tuple.family == 4) {
    const FlowKey4 key = key4(tuple);
    return pipeline_->flows4().read(key, flow_hash(key, spec_.flow_key));
  }
  const FlowKey6 key = key6(tuple);
  return pipeline_->flows6().read(key, flow_hash(key, spec_.flow_key));
}

// Which of several servers it was, the memory tells.
const Verdict::Choice* ThreeWays::choice_of(const Verdict& verdict) const {
  if (verdict.choices.size() == 1) return &verdict.choices[0];
  const auto flow = remembered(verdict.tuple);
  if (!flow) return nullptr;
  auto found = std::ranges::find(verdict.choices, flow->rs, &Verdict::Choice::rs);
  return found == verdict.choices.end() ? nullptr : &*found;
}

std::optional<std::string> ThreeWays::disagreement(const Program& program, const Verdict& verdict,
                                                   const Bytes& frame) const {
  using Kind = Verdict::Kind;
  const std::string& what = program.what;
  const bool forwards = what == "tx" || what == "redirect";
  if (what.starts_with("wrong")) return what;
  if (!forwards && program.bytes != frame)
    return "the program changed a frame that it did not send";
  if ((verdict.kind == Kind::Kernel) != (what == "pass")) return "pass";
  if (what == "pass") return std::nullopt;
  if (what == "handed") {
    if (program.meta.size() != sizeof(lb_meta)) return "handed over without metadata";
    return std::nullopt;
  }
  if (verdict.choices.size() != 1) return "the program decided what is the scheduler's";
  const Ending& ending = verdict.choices[0].ending;
  if (what == "drop") {
    if (ending.sent || !ending.reasons.contains(*program.reason)) return "dropped by the program";
    return std::nullopt;
  }
  if (!ending.sent || verdict.kind != Kind::Forward) return "forwarded by the program";
  if ((what == "tx") != (ending.port == port_)) return "the port";
  if (program.bytes != ending.bytes) return "the bytes that the program sent";
  if (verdict.first) return "the program sent a first fragment itself";
  if (verdict.memory != Verdict::Memory::Write) return std::nullopt;
  auto found = referee_->flows().find(verdict.tuple);
  if (found == referee_->flows().end() || found->second.rs != verdict.choices[0].rs ||
      found->second.state != verdict.flow.state) {
    return "the program kept from the worker what changes the flow";
  }
  return std::nullopt;
}

std::optional<std::string> ThreeWays::disagreement(const Worker& worker, const Verdict& verdict,
                                                   const Verdict::Choice* choice,
                                                   const std::vector<Ending>& released) const {
  if (worker.broken) return worker.broken;
  const bool hold = verdict.kind == Verdict::Kind::Hold;
  if (worker.held != hold) return "held by the pipeline, or not";
  if (!hold && choice == nullptr) return "the pipeline chose another real server";
  std::vector<std::pair<PortIndex, Bytes>> sent;
  Reasons own;
  std::vector<DropReason> drops = worker.drops;
  auto expect = [&](const Ending& ending) {
    if (ending.sent) sent.emplace_back(ending.port, ending.bytes);
  };
  if (!hold) {
    expect(choice->ending);
    own = choice->ending.reasons;
  }
  for (const Ending& ending : released) {
    expect(ending);
    if (ending.sent) continue;
    auto found =
        std::ranges::find_if(drops, [&](DropReason r) { return ending.reasons.contains(r); });
    if (found == drops.end()) return "a fragment that was held is not dropped by the pipeline";
    drops.erase(found);
  }
  if (worker.sent != sent) return "what the pipeline sent";
  if (own.empty() != drops.empty()) return "dropped by the pipeline, or not";
  if (!own.empty() && (drops.size() != 1 || !own.contains(drops[0]))) {
    return "why the pipeline dropped it";
  }
  return std::nullopt;
}

std::optional<std::string> ThreeWays::run_alone(const Bytes& frame) {
  const Verdict verdict = referee_->judge_alone(frame, tick_ms_now());
  const Program program = run_program(frame);
  counts_.alone += program.alone;
  auto wrong = [&](const char* why) { return report(why, frame, verdict, program, nullptr); };
  if (program.what.starts_with("wrong")) return wrong("alone");
  if ((verdict.kind == Verdict::Kind::Kernel) != (program.what == "pass")) return wrong("pass");
  if (program.what == "pass") return std::nullopt;
  if (program.what == "handed") return wrong("handed to nobody");
  for (const Verdict::Choice& choice : verdict.choices) {
    const Ending& ending = choice.ending;
    const bool right =
        ending.sent
            ? program.bytes == ending.bytes && (program.what == "tx") == (ending.port == port_)
            : program.what == "drop" && ending.reasons.contains(*program.reason);
    if (right) return std::nullopt;
  }
  return wrong("what the program does alone");
}

std::optional<std::string> ThreeWays::run(const Bytes& frame) {
  ++number_;
  ++counts_.packets;
  if (alone_) return run_alone(frame);
  const TickMs now = tick_ms_now();
  Verdict verdict = referee_->judge(frame, now);
  const Program program = run_program(frame);
  if (auto why = disagreement(program, verdict, frame)) {
    return report(*why, frame, verdict, program, nullptr);
  }
  counts_.passed += program.what == "pass";
  counts_.dropped += program.what == "drop";
  counts_.sent += program.what == "tx";
  counts_.redirected += program.what == "redirect";
  counts_.handed += program.what == "handed";
  counts_.held += verdict.kind == Verdict::Kind::Hold;
  counts_.answered += verdict.kind == Verdict::Kind::Answer;
  counts_.remembered += verdict.memory == Verdict::Memory::Write;
  if (program.what == "pass") return std::nullopt;
  if (only_handed_ && program.what != "handed") {
    // An entry of no use stays until the ageing finds it.
    if (verdict.memory == Verdict::Memory::Forget) verdict.memory = Verdict::Memory::Leave;
    referee_->settle(verdict, frame, verdict.choices[0].rs, now);
    return std::nullopt;
  }
  const Worker worker = run_worker(frame, program.meta, now);
  const Verdict::Choice* choice = choice_of(verdict);
  std::vector<Ending> released;
  if (choice != nullptr || verdict.held) {
    const RsId to = choice == nullptr ? RsId::None : choice->rs;
    released = referee_->settle(verdict, frame, to, now);
  }
  if (auto why = disagreement(worker, verdict, choice, released)) {
    return report(*why, frame, verdict, program, &worker);
  }
  return std::nullopt;
}

std::optional<std::string> ThreeWays::compare_flows() {
  if (alone_) return std::nullopt;
  std::size_t count = 0;
  std::string wrong;
  for (const auto& [tuple, flow] : referee_->flows()) {
    const auto data = remembered(tuple);
    ++count;
    if (data && data->rs == flow.rs && data->service == flow.service &&
        raw(data->state) == raw(flow.state) &&
        std::abs(ms_since(data->last_seen, flow.last_seen)) < 1'500) {
      continue;
    }
    wrong =
        fmt::format("a flow of port {} is {} by the referee, state {}, and {}", tuple.client_port,
                    raw(flow.rs), raw(flow.state),
                    data ? fmt::format("{}, state {}, {} ms later, in the memory", raw(data->rs),
                                       raw(data->state), ms_since(data->last_seen, flow.last_seen))
                         : "not in the memory");
  }
  const std::size_t entries = pipeline_->flows4().size() + pipeline_->flows6().size();
  if (wrong.empty() && entries != count) {
    wrong = fmt::format("{} flows by the referee, {} in the memory", count, entries);
  }
  if (wrong.empty()) return std::nullopt;
  return fmt::format("{}\n  seed {}, after packet {}", wrong, seed_, number_);
}

std::string ThreeWays::report(const std::string& why, const Bytes& frame, const Verdict& verdict,
                              const Program& program, const Worker* worker) const {
  constexpr const char* kKinds[] = {"to the kernel", "drop", "answer", "forward", "hold"};
  std::string out = fmt::format(
      "{}\n  seed {}, packet {} (again: LB_SEED={})\n  frame {}\n  referee: {}, memory {}", why,
      seed_, number_, seed_, hex(frame), kKinds[raw(verdict.kind)], raw(verdict.memory));
  for (const auto& choice : verdict.choices) {
    out += fmt::format("\n    RS {:#x} {}", raw(choice.rs), text(choice.ending));
  }
  out += fmt::format("\n  program: {}", program.what);
  if (program.reason) out += fmt::format(" {}", drop_reason_name(*program.reason));
  if (program.hand_reason < LB_HAND_COUNT) out += fmt::format(" (reason {})", program.hand_reason);
  out += fmt::format(": {}", hex(program.bytes));
  if (worker == nullptr) return out;
  out += fmt::format("\n  pipeline:{}{}", worker->held ? " held" : "",
                     names({worker->drops.begin(), worker->drops.end()}));
  for (const auto& [port, bytes] : worker->sent) {
    out += fmt::format("\n    sent by port {}: {}", raw(port), hex(bytes));
  }
  return out;
}

}  // namespace lb::test
