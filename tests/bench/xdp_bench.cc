// SPDX-License-Identifier: Apache-2.0
// What the XDP program costs a packet, by BPF_PROG_TEST_RUN: bench_run writes a header and jumps to
// the program that is measured. "None" is what that alone costs, to be taken off; "SwapMacs" is the
// program to be compared with. Needs root. Interleaved runs:
//   xdp_bench --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bpf/bench_fwd.skel.h"
#include "bpf/bench_lru.skel.h"
#include "bpf/bench_run.skel.h"
#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"
#include "dataplane/table/maglev.h"
#include "dataplane/table/slot_plan.h"

namespace lb {
namespace {

constexpr std::uint32_t kRs = 100;
constexpr int kRunsAtOnce = 100'000;

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "xdp_bench: %s\n", result.error().message.c_str());
  std::exit(1);
}

std::span<const std::byte> bytes_of(const void* (*elf)(std::size_t*)) {
  std::size_t bytes = 0;
  const void* data = elf(&bytes);
  return {static_cast<const std::byte*>(data), bytes};
}

/// One service, 192.0.2.10:80/tcp, with 100 RS on 65537 slots, and what else shares the index.
class Bench {
 public:
  static Bench& get() {
    static Bench bench;
    return bench;
  }

  /// ns a packet over `flows` flows picked at random.
  void run(benchmark::State& state, int program, std::uint32_t flows) {
    __u32 zero = 0;
    if (bpf_map_update_elem(must(runner_.map_fd("measured")), &zero, &program, BPF_ANY) != 0) {
      return state.SkipWithError("tail call");
    }
    set_flows(flows);
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
    state.SetLabel("verdict " + std::to_string(options.retval));
  }
  int none() const { return must(runner_.program_fd("bench_none")); }
  int swap() const { return must(swap_.program_fd("bench_tx")); }
  int hashed() const { return must(program_->object().program_fd("lb_xdp")); }
  int lru() const { return must(lru_->program_fd("lb_xdp")); }
  /// Slots that ask the flow memory first; nothing is remembered there.
  void open_slots(bool open) { install(open); }

 private:
  Bench()
      : shared_(must(FastPath::create({.services_max = 1024, .rs_max = 4096, .buckets4 = 65536}))),
        runner_(must(load_runner())),
        swap_(must(load_named("bench_fwd", bytes_of(bench_fwd__elf_bytes)))) {
    program_ = std::make_unique<XdpProgram>(must(XdpProgram::load(*shared_)));
    if (!program_->set_mac({{2, 2, 2, 2, 2, 2}}) ||
        !program_->set_forwarding({.engine = LB_ENGINE_HYBRID, .sends = ~0U})) {
      std::exit(1);
    }
    BpfSpec spec{.name = "bench_lru",
                 .elf = bytes_of(bench_lru__elf_bytes),
                 .constants = {},
                 .shared_maps = {},
                 .alternatives = {}};
    shared_->give_to(spec);
    spec.shared_maps.push_back({"settings", must(program_->object().map_fd("settings"))});
    lru_ = std::make_unique<BpfObject>(must(BpfObject::load(spec)));
    install(false);
  }
  static Result<BpfObject> load_named(const char* name, std::span<const std::byte> elf) {
    return BpfObject::load(
        {.name = name, .elf = elf, .constants = {}, .shared_maps = {}, .alternatives = {}});
  }
  static Result<BpfObject> load_runner() {
    BpfSpec spec{.name = "bench_run",
                 .elf = bytes_of(bench_run__elf_bytes),
                 .constants = {},
                 .shared_maps = {},
                 .alternatives = {}};
    spec.constant("bench_vip_be", IpAddr::parse("192.0.2.10")->as_v4().raw());
    return BpfObject::load(spec);
  }
  void set_flows(std::uint32_t flows) {
    // bench_flows is the one variable in .data: the map's only value.
    const int data = must(runner_.map_fd(".data"));
    __u32 zero = 0;
    std::vector<char> value(64);
    (void)bpf_map_lookup_elem(data, &zero, value.data());
    std::memcpy(value.data(), &flows, sizeof flows);
    (void)bpf_map_update_elem(data, &zero, value.data(), BPF_ANY);
  }

  void install(bool open) {
    ServiceTableSpec spec;
    spec.ports = {{{{2, 2, 2, 2, 2, 2}}, 1500, true}};
    spec.flow_key = {0x1234567890abcdef, 0xfedcba0987654321};
    spec.vips = {{*IpAddr::parse("192.0.2.10"), false, true}};
    Service service;
    service.id = make_service_id(0, 1);
    service.address = *ServiceAddr::parse("192.0.2.10:80/tcp");
    service.scheduler = Scheduler::Mh;
    service.hash_key = 42;
    service.rs_count = kRs;
    std::vector<MaglevBackend> backends;
    for (std::uint32_t i = 0; i < kRs; ++i) {
      RealServer rs;
      rs.id = make_rs_id(i, 1);
      rs.mac = {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}};
      rs.has_mac = rs.up = true;
      rs.weight = 1;
      rs.address = *IpAddr::parse("10.0.1." + std::to_string(i + 1));
      spec.real_servers.push_back(rs);
      backends.push_back({lb_mix64(i + 1), lb_mix64(i + 1000), 1});
    }
    auto owners = must(build_maglev(backends, kMaglevSlotsDefault));
    auto table = must(shared_->make(kMaglevSlotsDefault, kRs));
    SlotPlan plan(owners);
    if (open) plan.except_all();
    plan.write(*table);
    table->head().members = kRs;
    for (std::uint32_t i = 0; i < kRs; ++i) {
      lb_rs_entry& entry = table->members()[i];
      entry.id = raw(spec.real_servers[i].id);
      std::ranges::copy(spec.real_servers[i].mac.bytes, entry.macs);
      entry.mtu = 1500;
      entry.flags = LB_RS_UP | LB_RS_HAS_MAC | LB_RS_EGRESS_UP;
    }
    service.table = std::move(table);
    spec.services = {service};
    table_ = must(ServiceTable::build(std::move(spec)));
    if (auto done = shared_->install(*table_); !done) {
      std::fprintf(stderr, "xdp_bench: %s\n", done.error().message.c_str());
      std::exit(1);
    }
  }

  std::unique_ptr<FastPath> shared_;
  BpfObject runner_, swap_;
  std::unique_ptr<XdpProgram> program_;
  std::unique_ptr<BpfObject> lru_;
  std::unique_ptr<ServiceTable> table_;
};

void none(benchmark::State& state) {
  Bench::get().run(state, Bench::get().none(), static_cast<std::uint32_t>(state.range(0)));
}
void swap_macs(benchmark::State& state) {
  Bench::get().run(state, Bench::get().swap(), static_cast<std::uint32_t>(state.range(0)));
}
void hashed(benchmark::State& state) {
  Bench::get().open_slots(false);
  Bench::get().run(state, Bench::get().hashed(), static_cast<std::uint32_t>(state.range(0)));
}
void hashed_asking(benchmark::State& state) {
  Bench::get().open_slots(true);
  Bench::get().run(state, Bench::get().hashed(), static_cast<std::uint32_t>(state.range(0)));
}
void one_lru(benchmark::State& state) {
  Bench::get().open_slots(false);
  Bench::get().run(state, Bench::get().lru(), static_cast<std::uint32_t>(state.range(0)));
}

constexpr int kMillion = 1'000'000;
BENCHMARK(none)->Arg(1)->Arg(kMillion)->UseManualTime()->Iterations(10);
BENCHMARK(swap_macs)->Arg(1)->Arg(kMillion)->UseManualTime()->Iterations(10);
BENCHMARK(hashed)->Arg(1)->Arg(500'000)->Arg(kMillion)->UseManualTime()->Iterations(10);
BENCHMARK(hashed_asking)->Arg(1)->Arg(kMillion)->UseManualTime()->Iterations(10);
BENCHMARK(one_lru)->Arg(1)->Arg(500'000)->Arg(kMillion)->UseManualTime()->Iterations(10);

}  // namespace
}  // namespace lb

BENCHMARK_MAIN();
