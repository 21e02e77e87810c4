// SPDX-License-Identifier: Apache-2.0
// The whole pipeline over memory: frames are written as a NIC would leave them, then process() is
// timed. Variants of a service that remembers every flow, by the table in it: FlowTable
// ("pipeline"), none and no hash ("no_table"), boost::unordered_flat_map ("flat_map"); and of a
// hashed one: no slot in transition ("steady"), every slot open ("open"). IPv4 and IPv6; 1, 10 k
// and 1 M flows, uniformly random. All in one run, repetitions interleaved. The time of a
// repetition is the median of its batches, so that a busy machine, which takes the core away for
// some of them, does not decide it. The ratios that the design promises stand at the end. usage:
// pipeline_bench [--benchmark_filter=...]
// [--benchmark_out=FILE --benchmark_out_format=json]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <string>

#include "tests/bench/pipeline_variants.h"
#include "tests/support/packet_builder.h"
#include "tests/support/slot_table.h"

namespace lb::bench {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kFrames = 4096;  // of 2 kB: the UMEM of a worker
constexpr std::size_t kFrameBytes = 2048;
constexpr std::size_t kHeadroom = 256;
constexpr std::size_t kOrder = 1U << 20;  // packets before the sequence of flows repeats
constexpr std::size_t kBatches = 10'000;  // a repetition
constexpr std::uint32_t kRsCount = 16;

enum class Slots : std::uint8_t { None, Steady, Open };  // None: the service is not hashed

std::shared_ptr<const TableObject> slots_of(const ServiceTableSpec& spec, const Service& service,
                                            Slots slots) {
  test::SlotTable table(spec, service, kMaglevSlotsDefault);
  table.maglev();
  for (std::uint32_t slot = 0; slots == Slots::Open && slot < table.slots(); ++slot) {
    table.open(slot, table.owner(slot));
  }
  return table.take();
}

std::unique_ptr<ServiceTable> make_table(Slots slots) {
  ServiceTableSpec spec;
  spec.vips = {{test::ip("192.0.2.10"), false, true}, {test::ip("2001:db8::10"), false, true}};
  spec.ports = {{test::mac("02:00:00:00:0f:00"), 1500, true}};
  spec.flow_key = {0x1234567890abcdef, 0xfedcba0987654321};
  std::uint32_t slot = 0;
  for (bool v4 : {true, false}) {
    Service service;
    service.address = *ServiceAddr::parse(v4 ? "192.0.2.10:80/tcp" : "[2001:db8::10]:80/tcp");
    service.id = make_service_id(v4 ? 0 : 1, 1);
    service.scheduler = slots == Slots::None ? Scheduler::Rr : Scheduler::Mh;
    service.hash_key = 42;
    service.rs_first = slot;
    service.rs_count = kRsCount;
    for (std::uint32_t i = 0; i < kRsCount; ++i, ++slot) {
      RealServer rs;
      rs.id = make_rs_id(slot, 1);
      rs.mac = {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(slot)}};
      rs.has_mac = rs.up = true;
      rs.weight = 1;
      rs.address = test::ip((v4 ? "10.0.0." : "fd00::") + std::to_string(slot + 1));
      spec.real_servers.push_back(rs);
    }
    if (slots != Slots::None) service.table = slots_of(spec, service, slots);
    test::name_members(spec, service);
    spec.services.push_back(service);
  }
  return std::move(*ServiceTable::build(std::move(spec)));
}

// What a flow's packets differ in.
void write_flow(std::uint8_t* frame, bool v4, std::uint32_t flow) {
  std::uint32_t client = flow / 32768;
  std::uint8_t* address = frame + 14 + (v4 ? 12 : 8);
  wire::store32(address + (v4 ? 0 : 12), 0x0a000001 + client);
  wire::store16(frame + 14 + (v4 ? 20 : 40), 1024 + flow % 32768);
}

// The frames of a worker, refilled before each batch.
class Traffic {
 public:
  Traffic(bool v4, std::uint32_t flows) : v4_(v4), memory_(kFrames * kFrameBytes), order_(kOrder) {
    auto builder = v4 ? test::PacketBuilder("10.0.0.1", "192.0.2.10")
                      : test::PacketBuilder("2001:db8:1::1", "2001:db8::10");
    template_ = builder.tcp(1024, 80, test::kAck).pad_to(v4 ? 60 : 74).build();
    std::mt19937 random(7);
    for (auto& flow : order_) flow = static_cast<std::uint32_t>(random() % flows);
  }
  void fill(std::span<Packet> batch) {
    fill_flows(batch, [this] { return order_[next_++ % kOrder]; });
  }
  template <class NextFlow>
  void fill_flows(std::span<Packet> batch, NextFlow&& next_flow) {
    for (Packet& packet : batch) {
      std::uint8_t* data = memory_.data() + frame_ * kFrameBytes + kHeadroom;
      std::copy(template_.begin(), template_.end(), data);
      write_flow(data, v4_, next_flow());
      packet = {frame_, data, static_cast<std::uint32_t>(template_.size()), kHeadroom, 0, {}};
      frame_ = (frame_ + 1) % kFrames;
    }
  }

 private:
  bool v4_;
  test::Bytes memory_, template_;
  std::vector<std::uint32_t> order_;
  std::size_t next_ = 0, frame_ = 0;
};

template <class Tables, class Key>
typename Tables::template Table<Key> make(std::uint32_t flows) {
  using Table = typename Tables::template Table<Key>;
  constexpr std::uint32_t kSlot = std::is_same_v<Key, FlowKey4> ? 0 : kRsCount;
  if constexpr (std::is_same_v<Tables, NoTables>) {
    return Table(
        {make_rs_id(kSlot, 1), make_service_id(kSlot / kRsCount, 1), 1000, FlowState::Established});
  } else if constexpr (std::is_same_v<Tables, FlatMaps>) {
    return Table(flows);
  } else {
    return std::move(*Table::create(flows));
  }
}

template <class Tables>
void run(benchmark::State& state, bool v4, std::uint32_t flows, Slots slots) {
  auto table = make_table(slots);
  auto counters = std::make_unique<Counters>(2, 2 * kRsCount);
  ResolveRequests resolve(2 * kRsCount);
  PipelineOptions options;
  const std::uint32_t room = std::max(flows, 1024U);
  auto core = std::make_unique<PipelineCore<Tables>>(options, lb_hash_key{1, 2}, *counters, resolve,
                                                     make<Tables, FlowKey4>(v4 ? room : 1024),
                                                     make<Tables, FlowKey6>(v4 ? 1024 : room));
  Traffic traffic(v4, flows);
  auto out = std::make_unique<BatchOut>();
  std::array<Packet, kBatch> batch;
  std::uint32_t flow = 0;
  while (flow < flows) {
    traffic.fill_flows(batch, [&] { return std::min(flow++, flows - 1); });
    out->clear();
    core->process(batch, 1000, *table, *out);
  }
  TickMs now = 1000;
  std::uint64_t batches = 0, sent = 0;
  std::vector<std::uint64_t> times;
  times.reserve(kBatches);
  for (auto _ : state) {
    traffic.fill(batch);
    out->clear();
    if (++batches % 32 == 0) ++now;  // a tick every 2048 packets
    const std::uint64_t start = monotonic_ns();
    core->process(batch, now, *table, *out);
    times.push_back(monotonic_ns() - start);
    state.SetIterationTime(static_cast<double>(times.back()) * 1e-9);
    sent += out->tx_count;
    benchmark::ClobberMemory();
  }
  std::ranges::nth_element(times, times.begin() + kBatches / 2);
  state.counters["ns_per_packet"] = static_cast<double>(times[kBatches / 2]) / kBatch;
  if (sent != batches * kBatch) state.SkipWithError("packets were dropped");
}

// Keeps the ns a packet of every repetition, and shows a line a repetition as usual.
class Report : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration && !run.error_occurred) {
        times_[run.run_name.function_name].push_back(run.counters.at("ns_per_packet"));
      }
    }
  }
  /// Median ns a packet, or 0.
  double median(const std::string& name) {
    auto& times = times_[name];
    if (times.empty()) return 0;
    std::ranges::sort(times);
    return times[times.size() / 2];
  }
  void print() {
    std::printf("%-24s %8s %8s %8s  ns a packet\n", "", "min", "median", "max");
    for (auto& [name, times] : times_) {
      double middle = median(name);
      std::printf("%-24s %8.1f %8.1f %8.1f\n", name.c_str(), times.front(), middle, times.back());
    }
    for (const char* family : {"v4", "v6"}) {
      ratio(family, "10k", "no_table", "at most 2 for v4");
      ratio(family, "1M", "flat_map", "less than 1 for v4");
      steady_ratio(family);
    }
  }

 private:
  void ratio(const std::string& family, const std::string& flows, const char* base,
             const char* promise) {
    double ours = median("pipeline/" + family + "/" + flows);
    double other = median(std::string(base) + "/" + family + "/" + flows);
    if (ours == 0 || other == 0) return;
    std::printf("ratio %s %s: pipeline / %s = %.2f (%s)\n", family.c_str(), flows.c_str(), base,
                ours / other, promise);
  }
  void steady_ratio(const std::string& family) {
    double one = median("steady/" + family + "/1");
    double many = median("steady/" + family + "/1M");
    if (one == 0 || many == 0) return;
    std::printf("ratio %s: steady, 1M flows / 1 flow = %.2f (within 20 %%)\n", family.c_str(),
                many / one);
  }
  std::map<std::string, std::vector<double>> times_;
};

template <class Tables>
void add(const std::string& variant, Slots slots = Slots::None) {
  for (bool v4 : {true, false}) {
    for (auto [flows, text] : {std::pair{1U, "1"}, std::pair{10'000U, "10k"}, {1'000'000U, "1M"}}) {
      std::string name = variant + (v4 ? "/v4/" : "/v6/") + text;
      benchmark::RegisterBenchmark(
          name.c_str(),
          [v4, flows, slots](benchmark::State& state) { run<Tables>(state, v4, flows, slots); })
          ->UseManualTime()
          ->Iterations(kBatches)
          ->Repetitions(7);
    }
  }
}

}  // namespace
}  // namespace lb::bench

int main(int argc, char** argv) {
  using namespace lb::bench;  // NOLINT(google-build-using-namespace)
  add<lb::FlowTables>("pipeline");
  add<NoTables>("no_table");
  add<FlatMaps>("flat_map");
  add<lb::FlowTables>("steady", Slots::Steady);
  add<lb::FlowTables>("open", Slots::Open);
  std::string interleave = "--benchmark_enable_random_interleaving=true";
  std::vector<char*> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, interleave.data());
  auto count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  Report report;
  if (benchmark::RunSpecifiedBenchmarks(&report) == 0) return 1;
  report.print();
  benchmark::Shutdown();
  return 0;
}
