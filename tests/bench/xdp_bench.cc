// SPDX-License-Identifier: Apache-2.0
// What the XDP program costs a packet, by BPF_PROG_TEST_RUN, against a program that only swaps MAC
// addresses and against one LRU look-up a packet. Needs root. Other work on the machine moves every
// figure, so each round measures every case for a moment, in an order of its own, after packets
// that warm the caches: differences and ratios are taken inside a round, and the middle half of
// many rounds is what counts. "none" is what feeding the packets costs, contained in every figure.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>
#include <regex>

#include "tests/bench/xdp_bench_world.h"
// After lb_abi.h, whose types they name.
#include "bpf/bench_lru.skel.h"
#include "bpf/bench_run.skel.h"

namespace lb {

const void* bench_lru_elf(std::size_t* bytes) { return bench_lru__elf_bytes(bytes); }
const void* bench_run_elf(std::size_t* bytes) { return bench_run__elf_bytes(bytes); }

namespace {

struct Case {
  std::string program;
  std::string kind;
  std::uint32_t flows = 1;
  std::vector<double> ns{};  ///< by round

  [[nodiscard]] std::string name() const {
    return program + "/" + kind + "/" + std::to_string(flows);
  }
};

constexpr std::uint32_t kHalfMillion = 500'000;
constexpr std::uint32_t kMillion = 1'000'000;

/// Each kind of packet by "none" and "swap" too, which the others are compared with.
std::vector<Case> all_cases(bool with_other) {
  std::vector<std::string> forwarders{"sluice", "siphash", "long"};
  if (with_other) forwarders.emplace_back("other");
  std::vector<Case> cases;
  auto add = [&](const std::string& program, const char* kind, std::uint32_t flows) {
    cases.push_back({program, kind, flows});
  };
  auto add_all = [&](const char* kind, std::uint32_t flows) {
    for (const char* program : {"none", "swap"}) add(program, kind, flows);
    for (const std::string& program : forwarders) add(program, kind, flows);
  };
  for (const BenchPacket& kind : kPacketKinds) add_all(kind.name, 1);
  add_all("tcp", kHalfMillion);
  add_all("tcp", kMillion);
  add_all("asks", kMillion);
  for (std::uint32_t flows : {1U, kHalfMillion, kMillion}) add("lru", "tcp", flows);
  return cases;
}

class Report {
 public:
  explicit Report(const std::vector<Case>& cases) : cases_(cases) {}

  void print() const {
    std::printf("%-22s %8s %8s %8s   %s\n", "program/packet/flows", "min ns", "middle", "max",
                "over a MAC swap, ns: of the minima  middle  max");
    for (const Case& c : cases_) {
      const Spread own = spread(c.ns);
      std::printf("%-22s %8.1f %8.1f %8.1f", c.name().c_str(), own.min, own.middle, own.max);
      const Case* swap = find("swap", c.kind, c.flows);
      if (swap != nullptr && c.program != "none" && c.program != "swap") {
        const Spread over = between(c, *swap, [](double a, double b) { return a - b; });
        std::printf("   %+8.1f %+8.1f %+8.1f", own.min - spread(swap->ns).min, over.middle,
                    over.max);
      }
      std::printf("\n");
    }
    print_ratio("1 M flows to 1 flow", {"sluice", "tcp", kMillion}, {"sluice", "tcp", 1});
    print_ratio("to one LRU look-up, 500 k flows", {"sluice", "tcp", kHalfMillion},
                {"lru", "tcp", kHalfMillion});
  }

 private:
  struct Spread {
    double min, middle, max;
  };
  /// The middle is the mean of the middle half: the kernel gives whole nanoseconds.
  static Spread spread(std::vector<double> values) {
    std::ranges::sort(values);
    const auto quarter = static_cast<std::ptrdiff_t>(values.size() / 4);
    const auto first = values.begin() + quarter, last = values.end() - quarter;
    return {values.front(), std::accumulate(first, last, 0.0) / static_cast<double>(last - first),
            values.back()};
  }
  template <class F>
  static Spread between(const Case& a, const Case& b, F f) {
    std::vector<double> values(a.ns.size());
    std::ranges::transform(a.ns, b.ns, values.begin(), f);
    return spread(std::move(values));
  }
  [[nodiscard]] const Case* find(const std::string& program, const std::string& kind,
                                 std::uint32_t flows) const {
    auto at = std::ranges::find_if(cases_, [&](const Case& c) {
      return c.program == program && c.kind == kind && c.flows == flows;
    });
    return at == cases_.end() ? nullptr : &*at;
  }
  /// Of what two cases cost beyond the feeding of their packets.
  void print_ratio(const char* what, const Case& above, const Case& below) const {
    const Case* a = find(above.program, above.kind, above.flows);
    const Case* b = find(below.program, below.kind, below.flows);
    const Case* feed_a = find("none", above.kind, above.flows);
    const Case* feed_b = find("none", below.kind, below.flows);
    if (a == nullptr || b == nullptr || feed_a == nullptr || feed_b == nullptr) return;
    std::vector<double> ratios(a->ns.size());
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      ratios[i] = (a->ns[i] - feed_a->ns[i]) / (b->ns[i] - feed_b->ns[i]);
    }
    const Spread ratio = spread(std::move(ratios));
    const double of_minima =
        (spread(a->ns).min - spread(feed_a->ns).min) / (spread(b->ns).min - spread(feed_b->ns).min);
    std::printf("ratio, %s: of the minima %.2f, middle %.2f\n", what, of_minima, ratio.middle);
  }

  const std::vector<Case>& cases_;
};

int run(int argc, char** argv) {
  CLI::App app{"What the XDP program costs a packet, by BPF_PROG_TEST_RUN. Needs root."};
  int rounds = 100, packets = 50'000;
  std::string only = ".*", elf;
  app.add_option("--rounds", rounds, "rounds over all cases")->check(CLI::PositiveNumber);
  app.add_option("--packets", packets, "packets of a case in a round; as many warm the caches")
      ->check(CLI::PositiveNumber);
  app.add_option("--only", only,
                 "regular expression on program/packet/flows; \"none\" and "
                 "\"swap\" are measured anyway");
  app.add_option("--elf", elf, "another build of lb_xdp.bpf.c, measured as program \"other\"");
  CLI11_PARSE(app, argc, argv);

  std::vector<Case> cases = all_cases(!elf.empty());
  const std::regex wanted(only + "|(none|swap)/.*");
  std::erase_if(cases, [&](const Case& c) { return !std::regex_match(c.name(), wanted); });
  XdpBenchWorld world(elf);
  for (Case& c : cases) {  // every flow is met before the first round
    if (c.program == "lru") (void)world.measure(c.program, c.kind, c.flows, 8 * kMillion);
  }
  std::vector<Case*> order;
  for (Case& c : cases) order.push_back(&c);
  for (int round = 0; round < rounds; ++round) {
    std::ranges::rotate(order, order.begin() + 1);
    for (Case* c : order) {
      (void)world.measure(c->program, c->kind, c->flows, packets);
      c->ns.push_back(world.measure(c->program, c->kind, c->flows, packets));
    }
  }
  Report(cases).print();
  return 0;
}

}  // namespace
}  // namespace lb

int main(int argc, char** argv) { return lb::run(argc, argv); }
