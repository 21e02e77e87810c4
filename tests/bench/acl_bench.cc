// SPDX-License-Identifier: Apache-2.0
// What an access list costs a packet in the XDP program, by BPF_PROG_TEST_RUN over a million
// clients picked at random, and how long a long list takes to come and go. Compare within one run:
//   acl_bench --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
// Needs root.
#include <benchmark/benchmark.h>
#include <bpf/bpf.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bpf/bench_run.skel.h"
#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"
#include "dataplane/table/slot_plan.h"

namespace lb {
namespace {

constexpr int kRunsAtOnce = 100'000;
constexpr std::uint32_t kClients = 1'000'000;  // 198.18.0.0 and those that follow

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "acl_bench: %s\n", result.error().message.c_str());
  std::exit(1);
}
void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "acl_bench: %s\n", status.error().message.c_str());
  std::exit(1);
}

/// `count` prefixes: of /16 to /32 all over the address space, and one in eight among the clients.
Acl long_list(std::size_t count, std::uint32_t rate) {
  std::mt19937 random(1);
  std::vector<AclEntry> entries;
  Acl acl;
  while (acl.size() < count) {
    entries.assign(acl.entries().begin(), acl.entries().end());
    for (std::size_t i = acl.size(); i < count; ++i) {
      const std::uint32_t address = random() % 8 == 0 ? 0xc6120000 + random() % kClients : random();
      const auto bits = 16 + random() % 17;
      entries.push_back({.prefix = IpPrefix::of(IpAddr::v4(Be32::from_host(address)), bits),
                         .rate = rate,
                         .burst = rate == LB_ACL_ALLOW ? 0 : rate});
    }
    acl = Acl::of(std::move(entries));
  }
  return acl;
}

/// One service, 192.0.2.10:80/tcp, with one real server.
class Bench {
 public:
  static Bench& get() {
    static Bench bench;
    return bench;
  }
  void set(const Acl& acl) {
    Service service;
    service.id = make_service_id(0, 1);
    service.address = *ServiceAddr::parse("192.0.2.10:80/tcp");
    service.scheduler = Scheduler::Mh;
    service.rs_count = 1;
    service.table = slots_;
    service.members = {make_rs_id(0, 1)};
    service.acl = acl;
    RealServer rs;
    rs.id = make_rs_id(0, 1);
    rs.mac = {{2, 0, 0, 0, 1, 1}};
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    rs.address = *IpAddr::parse("10.0.1.1");
    ServiceTableSpec spec;
    spec.ports = {{{{2, 2, 2, 2, 2, 2}}, 1500, true}};
    spec.flow_key = {0x1234567890abcdef, 0xfedcba0987654321};
    spec.vips = {{*IpAddr::parse("192.0.2.10"), false, true}};
    spec.services = {service};
    spec.real_servers = {rs};
    table_ = must(ServiceTable::build(std::move(spec)));
    must(shared_->install(*table_));
  }
  void run(benchmark::State& state) {
    std::vector<char> frame(64), out(512);
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = 64;
    options.data_out = out.data();
    options.repeat = kRunsAtOnce;
    const int run = must(runner_.program_fd("bench_run"));
    for (auto _ : state) {
      options.data_size_out = static_cast<__u32>(out.size());
      if (bpf_prog_test_run_opts(run, &options) != 0) return state.SkipWithError("test run");
      state.SetIterationTime(options.duration * 1e-9);
    }
  }

 private:
  Bench()
      : shared_(must(FastPath::create({}))),
        program_(must(XdpProgram::load(*shared_))),
        runner_(must(load_runner())),
        slots_(must(shared_->make(251, 1))) {
    must(program_.set_mac({{2, 2, 2, 2, 2, 2}}));
    must(program_.set_forwarding({.engine = LB_ENGINE_HYBRID, .sends = ~0U}));
    SlotPlan(std::vector<std::uint16_t>(251, 0)).write(*slots_);
    slots_->head().members = 1;
    lb_rs_entry& entry = slots_->members()[0];
    entry.place = 1;
    entry.mtu = 1500;
    entry.flags = LB_RS_UP | LB_RS_HAS_MAC | LB_RS_EGRESS_UP;
    __u32 zero = 0;
    const int measured = must(program_.object().program_fd("lb_xdp"));
    if (bpf_map_update_elem(must(runner_.map_fd("measured")), &zero, &measured, BPF_ANY) != 0) {
      std::exit(1);
    }
    set_clients();
  }
  static Result<BpfObject> load_runner() {
    std::size_t bytes = 0;
    const void* data = bench_run__elf_bytes(&bytes);
    BpfSpec spec{.name = "bench_run",
                 .elf = {static_cast<const std::byte*>(data), bytes},
                 .constants = {},
                 .shared_maps = {},
                 .alternatives = {}};
    spec.constant("bench_vip_be",
                  std::array<std::uint32_t, 4>{IpAddr::parse("192.0.2.10")->as_v4().raw()});
    spec.constant("bench_port_bits", std::uint8_t{0});
    return BpfObject::load(spec);
  }
  void set_clients() {
    // bench_flows is the one variable in .data: the map's only value.
    const int data = must(runner_.map_fd(".data"));
    __u32 zero = 0;
    std::vector<char> value(64);
    (void)bpf_map_lookup_elem(data, &zero, value.data());
    std::memcpy(value.data(), &kClients, sizeof kClients);
    (void)bpf_map_update_elem(data, &zero, value.data(), BPF_ANY);
  }

  std::unique_ptr<FastPath> shared_;
  XdpProgram program_;
  BpfObject runner_;
  std::shared_ptr<TableObject> slots_;
  std::unique_ptr<ServiceTable> table_;
};

const Acl& list_of(std::size_t count, std::uint32_t rate) {
  static std::map<std::pair<std::size_t, std::uint32_t>, Acl> lists;
  auto [at, made] = lists.try_emplace({count, rate});
  if (made) at->second = long_list(count, rate);
  return at->second;
}

void allowed(benchmark::State& state) {
  Bench::get().set(list_of(static_cast<std::size_t>(state.range(0)), LB_ACL_ALLOW));
  Bench::get().run(state);
}
void limited(benchmark::State& state) {
  Bench::get().set(list_of(static_cast<std::size_t>(state.range(0)), LB_ACL_RATE_MAX));
  Bench::get().run(state);
}
/// 0.0.0.0/0 decides for all: one entry that every packet writes to.
void denied(benchmark::State& state) {
  Bench::get().set(Acl::of({{.prefix = *IpPrefix::parse("0.0.0.0/0"), .rate = LB_ACL_DENY}}));
  Bench::get().run(state);
}
void fill(benchmark::State& state) {
  const Acl& list = list_of(static_cast<std::size_t>(state.range(0)), LB_ACL_DENY);
  for (auto _ : state) {
    Bench::get().set(list);
    state.PauseTiming();
    Bench::get().set({});
    state.ResumeTiming();
  }
}
void take_away(benchmark::State& state) {
  const Acl& list = list_of(static_cast<std::size_t>(state.range(0)), LB_ACL_DENY);
  for (auto _ : state) {
    state.PauseTiming();
    Bench::get().set(list);
    state.ResumeTiming();
    Bench::get().set({});
  }
}

constexpr int kMillion = 1'000'000;
BENCHMARK(allowed)->Arg(0)->Arg(1)->Arg(1'000)->Arg(kMillion)->UseManualTime()->Iterations(10);
BENCHMARK(limited)->Arg(1'000)->UseManualTime()->Iterations(10);
BENCHMARK(denied)->UseManualTime()->Iterations(10);
BENCHMARK(fill)->Arg(kMillion)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(take_away)->Arg(kMillion)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace lb

BENCHMARK_MAIN();
